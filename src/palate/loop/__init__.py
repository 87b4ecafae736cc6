"""The one place that ties the steps together: ask, seal, launch, watch, judge, score."""
