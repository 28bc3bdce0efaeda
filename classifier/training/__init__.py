"""From labelled rows to an artefact: fit the ladder, calibrate, choose, judge, write.

Needs torch, scikit-learn and the base encoder's wheel; nothing that serves imports it.
"""
