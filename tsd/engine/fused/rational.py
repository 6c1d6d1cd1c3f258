"""tanh x and erf(x/√2) as x P(x²)/Q(x²), on ±BOUND; beyond, float32 knows them as ±1.

The coefficients, of 1, x², x⁴, …, are our own minimax fits of the relative error, by least squares whose weights follow
the error. It is 2·10⁻⁸ for both, a third of what float32 rounds.
"""

TANH_BOUND = 9.02
TANH_P = (0.999999979, 0.133797182, 0.003494034872, 2.05834864e-05, 1.331907882e-08)
TANH_Q = (1.0, 0.4671303344, 0.02587107438, 0.0003283093351, 7.762022321e-07)

ERF_BOUND = 5.6
ERF_P = (0.7978845437, 0.0678587336, 0.009354745308, 0.0003378656211, 1.257962388e-05, 4.459445266e-08)
ERF_Q = (1.0, 0.2517146367, 0.02867775362, 0.001885512303, 7.334538036e-05, 1.179653981e-06)
