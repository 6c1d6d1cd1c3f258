"""Whole stretches of gradient descent in one kernel, for students small enough to stay in a cache or in registers.

descent     what is asked for: students, samples and step sizes in, losses out
processor   numba; one network after another, its weights in the cache
card        Triton; one program a network
lanes, functions, rational   what numba does not have of its own: vectors, their product, and activations of them
"""
