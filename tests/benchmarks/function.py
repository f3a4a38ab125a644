"""`softargmax(x)` and its gradient in Python: python function.py softargmax|formula graph|xla

formula: one line of softmax and einsum. Prints the seconds of 20 calls on 2,000 × 1,000 scores, after the first.
"""

import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from softargmax_cli import softargmax

what, how = sys.argv[1:]
x = tf.random.stateless_uniform((2_000, 1_000), (1, 2))


def formula(x: tf.Tensor) -> tf.Tensor:
    """Soft argmax as everyone writes it."""
    return tf.einsum("bn,n->b", tf.nn.softmax(100.0 * x), tf.range(1_000.0))


@tf.function(jit_compile=how == "xla")
def step(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute soft and its gradient."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        soft = softargmax(x) if what == "softargmax" else formula(x)
    return soft, tape.gradient(soft, x)


step(x)[1].numpy()
began = time.perf_counter()
for _ in range(20):
    step(x)[1].numpy()
print(time.perf_counter() - began)
