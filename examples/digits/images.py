"""Prints the held-out images, one JSON object a line: {"pixels": [64 numbers], "label": digit}."""

import json

from data import held_out


def main():
    images, labels = held_out()
    for pixels, label in zip(images.tolist(), labels.tolist()):
        print(json.dumps({"pixels": pixels, "label": label}))


if __name__ == "__main__":
    main()
