"""`python -m keras_reptile`, which is the command `reptile`."""

from keras_reptile.programs.start import start_command

if __name__ == "__main__":
    start_command()
