"""Real servers that the tests start themselves, on free ports of the loopback interface."""
