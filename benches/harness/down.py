"""Removes every container and the network of the benchmark."""

import twin

if __name__ == "__main__":
    twin.Twin(0).down()
