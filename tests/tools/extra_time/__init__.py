"""Extra time: a Canvas tool in Flask, in the shape of those that universities run.

A teacher or a TA gives students more time in quizzes. A job (RQ) tells Canvas, with a token that
the teacher grants by OAuth (Authlib). Students see what they have and confirm it; another job
reports that to the gradebook. Account administrators see every course.
"""
