"""How the bundled nano model is made: tokenizer, first weights, demonstrations, training. `make nano` runs `build`."""
