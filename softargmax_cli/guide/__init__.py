"""The topics of the guide, one Markdown file each, shown by `softargmax guide`."""
