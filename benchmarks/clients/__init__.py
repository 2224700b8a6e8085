"""One client per file; each is a program of its own, so that its CPU and memory are the operating system's figures."""
