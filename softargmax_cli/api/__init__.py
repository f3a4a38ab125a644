"""Soft argmax from Python: on tensors, as a Keras layer, of files and arrays. No terminal."""
