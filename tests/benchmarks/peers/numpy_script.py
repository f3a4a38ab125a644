"""A few careful lines of NumPy, in place after the first: python numpy_script.py IN.npy OUT.npy [weights]"""

import sys

import numpy as np

BETA = np.float32(100)

x = np.load(sys.argv[1])
p = x * BETA
p -= p.max(axis=1, keepdims=True)
np.exp(p, out=p)
p /= p.sum(axis=1, keepdims=True)
if sys.argv[3:]:
    np.save(sys.argv[2], p)
    sys.exit()
soft = p @ np.arange(x.shape[1], dtype=np.float32)
np.save(sys.argv[2], np.stack([soft, x.argmax(axis=1)]))
