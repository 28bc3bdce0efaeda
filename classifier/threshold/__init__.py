"""From a budget, a cost or a quality to the threshold, and the traffic it is set on."""
