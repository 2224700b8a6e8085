"""Everything Dagster: assets, partitions, sensors, schedules, resources, pools, checks."""
