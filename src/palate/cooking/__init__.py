"""What happens inside of a training: stages, loss weights, tasting, seasoning, capsules, forks."""
