"""How TensorFlow is run. No soft argmax."""
