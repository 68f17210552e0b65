"""The headings of the sections by name, in the order of the page."""

TITLES = {
    "answer": "Answer",
    "claims": "Claims",
    "leaderboard": "Leaderboard",
    "tradeoff": "Memory against time",
    "scaling": "Scaling",
    "accuracy": "Accuracy",
    "ranks": "Several ranks",
    "why": "Where bytes and time go",
    "trust": "Reliability",
    "cells": "All cells",
    "definitions": "Definitions",
    "environment": "Environment",
}
