"""The constants of the activation SELU, which its formula and alpha dropout share.

With them, means of 0 and variances of 1 are what layers of such units tend to: Klambauer et al.,
Self-Normalizing Neural Networks, 2017, arXiv:1706.02515.
"""

LAMBDA = 1.0507009873554804934193349852946
ALPHA = 1.6732632423543772848170429916717
