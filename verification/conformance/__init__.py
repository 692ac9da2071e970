"""For who checks an implementation of their own: `s5ref check`, its questions, its vectors, known mistakes.

``protocol`` says what a candidate may implement, ``kit`` judges it, ``stages`` are the questions with the
reference's answers, ``vectors`` the questions with certified answers as data, ``mutants`` the known mistakes.
"""
