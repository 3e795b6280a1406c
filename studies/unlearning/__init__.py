"""`faithful study unlearning`: can what a model knows of one text be taken away by clamping latents, without the rest?"""
