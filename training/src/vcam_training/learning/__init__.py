"""What a training is made of: batches and their variation, loss, optimizer, schedule, history."""
