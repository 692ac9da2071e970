"""What a person looks at after training: `s5ref show` of one run, `s5ref compare` of several."""
