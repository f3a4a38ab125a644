"""Read arrays from files, and write results to files. No TensorFlow."""
