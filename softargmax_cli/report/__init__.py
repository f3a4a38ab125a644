"""Results for people. No TensorFlow."""
