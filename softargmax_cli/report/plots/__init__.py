"""Pictures of results: figures of one look, drawn with matplotlib, which is loaded only where one is asked for."""
