"""JAX, where XLA fuses the passes over the file: python jax_script.py IN.npy OUT.npy"""

import sys

import jax
import jax.numpy as jnp
import numpy as np

BETA = 100


@jax.jit
def soft_and_hard(x):
    p = jnp.exp((x - x.max(axis=1, keepdims=True)) * BETA)
    positions = jnp.arange(x.shape[1], dtype=x.dtype)
    return (p * positions).sum(axis=1) / p.sum(axis=1), x.argmax(axis=1)


soft, hard = soft_and_hard(jnp.asarray(np.load(sys.argv[1])))
np.save(sys.argv[2], np.stack([np.asarray(soft), np.asarray(hard)]))
