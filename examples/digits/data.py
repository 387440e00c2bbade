"""The 1,797 real images of handwritten digits that scikit-learn ships, split once for everybody.

The first half trains the model, the rest is never seen by it: only that half is sent by the demo.
The halves come from different writers, so this is harder than a shuffled split.
"""

from sklearn.datasets import load_digits

TRAINING_IMAGES = 897


def training():
    """Images (64 grey values from 0 to 16 each) and their digits, to learn from."""
    images, labels = load_digits(return_X_y=True)
    return images[:TRAINING_IMAGES], labels[:TRAINING_IMAGES]


def held_out():
    """Images and their digits that the model has never seen."""
    images, labels = load_digits(return_X_y=True)
    return images[TRAINING_IMAGES:], labels[TRAINING_IMAGES:]
