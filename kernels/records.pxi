# Written by tools/generate.py from the records of nnfast: see there.

cdef extern from "src/records.h" nogil:
    enum: ACTIVATION_IDENTITY
    enum: ACTIVATION_LOGISTIC
    enum: ACTIVATION_TANH
    enum: ACTIVATION_RELU
    enum: ACTIVATION_LEAKY_RELU
    enum: ACTIVATION_ELU
    enum: ACTIVATION_SELU
    enum: ACTIVATION_GELU
    enum: ACTIVATION_GELU_TANH
    enum: ACTIVATION_GELU_SIGMOID
    enum: ACTIVATION_SILU
    enum: ACTIVATION_MISH
    enum: ACTIVATION_HARD_SWISH
    enum: ACTIVATION_SOFTPLUS
    enum: ACTIVATION_DROPPED_RELU
    enum: ACTIVATION_STORED
    enum: ACTIVATION_OWN
    enum: LOSS_LOG_LOSS
    enum: LOSS_BINARY_LOG_LOSS
    enum: LOSS_FOCAL
    enum: LOSS_BINARY_FOCAL
    enum: LOSS_SQUARED_ERROR
    enum: LOSS_ABSOLUTE_ERROR
    enum: LOSS_HUBER
    enum: LOSS_LOG_COSH
    enum: LOSS_POISSON
    enum: LOSS_GAMMA
    enum: LOSS_QUANTILE
    enum: LOSS_OWN
    enum: UPDATE_NONE
    enum: UPDATE_ADAM
    enum: UPDATE_SGD
    enum: UPDATE_NADAM
    enum: UPDATE_RMSPROP
    enum: UPDATE_ADAGRAD
    enum: UPDATE_LION
    enum: SCALAR_LEARNING_RATE
    enum: SCALAR_SHRINK
    enum: SCALAR_RATE
    enum: SCALAR_BETA_1
    enum: SCALAR_BETA_2
    enum: SCALAR_EPSILON
    enum: SCALAR_MOMENTUM
    enum: SCALAR_NESTEROV
    enum: SCALAR_MOMENTUM_RATE
    enum: SCALAR_GRADIENT_RATE
    enum: SCALAR_RHO
    enum: N_SCALARS
    bint is_of_classes(int loss)

ACTIVATIONS = {
    "identity": ACTIVATION_IDENTITY,
    "logistic": ACTIVATION_LOGISTIC,
    "tanh": ACTIVATION_TANH,
    "relu": ACTIVATION_RELU,
    "leaky_relu": ACTIVATION_LEAKY_RELU,
    "elu": ACTIVATION_ELU,
    "selu": ACTIVATION_SELU,
    "gelu": ACTIVATION_GELU,
    "gelu_tanh": ACTIVATION_GELU_TANH,
    "gelu_sigmoid": ACTIVATION_GELU_SIGMOID,
    "silu": ACTIVATION_SILU,
    "mish": ACTIVATION_MISH,
    "hard_swish": ACTIVATION_HARD_SWISH,
    "softplus": ACTIVATION_SOFTPLUS,
}
LOSSES = {
    "log_loss": LOSS_LOG_LOSS,
    "binary_log_loss": LOSS_BINARY_LOG_LOSS,
    "focal": LOSS_FOCAL,
    "binary_focal": LOSS_BINARY_FOCAL,
    "squared_error": LOSS_SQUARED_ERROR,
    "absolute_error": LOSS_ABSOLUTE_ERROR,
    "huber": LOSS_HUBER,
    "log_cosh": LOSS_LOG_COSH,
    "poisson": LOSS_POISSON,
    "gamma": LOSS_GAMMA,
    "quantile": LOSS_QUANTILE,
}
UPDATES = {
    "none": UPDATE_NONE,
    "adam": UPDATE_ADAM,
    "sgd": UPDATE_SGD,
    "adamw": UPDATE_ADAM,
    "nadam": UPDATE_NADAM,
    "rmsprop": UPDATE_RMSPROP,
    "adagrad": UPDATE_ADAGRAD,
    "lion": UPDATE_LION,
}
SCALARS = {
    "learning_rate": SCALAR_LEARNING_RATE,
    "shrink": SCALAR_SHRINK,
    "rate": SCALAR_RATE,
    "beta_1": SCALAR_BETA_1,
    "beta_2": SCALAR_BETA_2,
    "epsilon": SCALAR_EPSILON,
    "momentum": SCALAR_MOMENTUM,
    "nesterov": SCALAR_NESTEROV,
    "momentum_rate": SCALAR_MOMENTUM_RATE,
    "gradient_rate": SCALAR_GRADIENT_RATE,
    "rho": SCALAR_RHO,
}
