"""A prompt script: what it prints is the prompt. Arguments: a place and a time."""

import sys

place, time = sys.argv[1:]
print(f"The last train leaves from {place} at {time}. Please have your ticket ready before you enter the platform.")
