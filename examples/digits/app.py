"""Reads handwritten digits: an ordinary FastAPI server around an ordinary scikit-learn model.

It knows nothing of Tidegate. The model is trained when the process starts (under a second), so
there is no model file to trust or to keep in step with the library's version.
"""

from typing import Annotated

import numpy as np
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from sklearn.ensemble import BaggingClassifier
from sklearn.svm import SVC

from data import training

# One support vector machine says which digit, but not how sure it is. 64 of them, each trained on
# its own sample of the images, vote; the share of votes is the probability.
VOTERS = 64


def train():
    voter = SVC(gamma=0.001, C=10)
    model = BaggingClassifier(voter, n_estimators=VOTERS, n_jobs=1, random_state=0)
    return model.fit(*training())


class Image(BaseModel):
    """An image of 8 by 8 grey values, row by row."""

    model_config = ConfigDict(extra="forbid")
    pixels: Annotated[
        list[Annotated[float, Field(ge=0, le=16, allow_inf_nan=False)]],
        Field(min_length=64, max_length=64),
    ]


class Answer(BaseModel):
    """The digit with the most votes, and its share of the votes."""

    digit: int
    probability: float


MODEL = train()
app = FastAPI(title="digits")


@app.exception_handler(RequestValidationError)
def refuse(_request, error):
    # The default handler repeats the input, and can't write a NaN that was in it.
    mistakes = [{"where": list(e["loc"]), "message": e["msg"]} for e in error.errors()]
    return JSONResponse({"mistakes": mistakes}, status_code=422)


# A plain `def` runs in a thread of its own: while a prediction computes, health is still answered.
@app.post("/predict")
def predict(image: Image) -> Answer:
    shares = MODEL.predict_proba(np.array([image.pixels]))[0]
    best = int(shares.argmax())
    return Answer(digit=int(MODEL.classes_[best]), probability=float(shares[best]))


@app.get("/healthz")
async def healthz():
    return {"status": "ok"}
