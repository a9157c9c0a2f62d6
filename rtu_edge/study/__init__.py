"""Studies of a learner: families of simulated machines, and the scores that a result is compared with."""
