"""Files to arrays and results to files. No TensorFlow."""
