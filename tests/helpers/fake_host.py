"""A child process that tells which NumPy it has imported."""

import numpy as np

from s5ref.process import serve

if __name__ == "__main__":
    serve(lambda request: {"version": np.__version__})
