"""Run TensorFlow. No soft argmax."""
