"""Writes the example models of `testdata/models/sklearn`, each with its truth.

usage: python scikit_learn.py FOLDER [DATA ...]

Run once under each of scikit-learn 1.9.1 (Python 3.11, with pandas, skops 0.16 and lz4), 1.0.2
(Python 3.9), 0.24.2 (Python 3.8), 0.22.2 and 0.20.4 (Python 3.7), 0.18.2 and 0.17.1 (Python 2.7): each
writes the cases that are its own. What is asked of a model, and how, is in `sklearn_all.py`.
"""
from __future__ import print_function

import io
import json
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path = [p for p in sys.path if os.path.abspath(p or ".") != HERE]
import sklearn  # noqa: E402

sys.path.append(HERE)
import sklearn_all as every  # noqa: E402

# The release, the estimator and the data (as `sklearn_all.py` calls them), and how it is saved.
WANTED = [
    ("1.9", "Pipeline", "x_frame", "joblib"),
    ("1.9", "Pipeline", "x_text", "pickle5"),
    ("1.9", "GridSearchCV", "x_ridge", "joblib:lzma"),
    ("1.9", "ColumnTransformer", "x_frame_rest", "skops:deflate"),
    ("1.9", "OneVsRestClassifier", "labels", "skops"),
    ("1.9", "DecisionTreeClassifier", "outputs", "joblib:bz2"),
    ("1.9", "StackingRegressor", "real", "joblib:lz4"),
    ("1.9", "LogisticRegression", "float32", "pickle0"),
    ("1.9", "OneHotEncoder", "x_rare_drop", "pickle4"),
    ("1.0", "SVC", "x_ovo", "pickle1"),
    ("1.0", "MLPClassifier", "words", "joblib:xz"),
    ("1.0", "PCA", "frame", "joblib:gzip"),
    ("0.24", "VotingClassifier", "x_soft", "joblib:zlib"),
    ("0.24", "PLSRegression", "reals", "pickle3"),
    ("0.20", "Pipeline", "x_frame", "pickle2"),
    ("0.20", "KNeighborsRegressor", "reals", "joblib"),
    ("0.17", "RandomForestClassifier", "words", "pickle2"),
    ("0.17", "Pipeline", "x_text_words", "pickle0"),
    ("0.17", "GaussianNB", "pair", "pickle1"),
    # Until 0.17 joblib wrote arrays into files beside the model.
    ("0.17", "GaussianNB", "words", "joblib"),
    ("0.17", "SVC", "x_linear", "joblib:old"),
    ("0.18", "MultiOutputClassifier", "labels", "joblib:gzip"),
    ("0.18", "OneClassSVM", "plain", "pickle0"),
    ("0.20", "CalibratedClassifierCV", "x_svc", "pickle1"),
    ("0.22", "SelectFromModel", "multi", "joblib:xz"),
]


def case(name, tag):
    if tag.startswith("x_"):
        return [c for c in every.extras() if c.name == name and c.tag == tag][0]
    try:
        found = dict(every.all_estimators(include_meta_estimators=True, include_other=True))
    except TypeError:
        found = dict(every.all_estimators())
    return [c for c in every.cases_of(name, found[name]) if c.tag == tag][0]


def main():
    folder, want = sys.argv[1], sys.argv[2:]
    release = ".".join(sklearn.__version__.split(".")[:2])
    for version, name, tag, form in WANTED:
        if version != release or want and tag not in want:
            continue
        one = case(name, tag)
        estimator = one.fit(one.x)
        short = "sk%s_%s_%s" % (version.replace(".", ""), name.lower(), tag.replace("x_", ""))
        place = os.path.join(folder, short)
        shutil.rmtree(place, ignore_errors=True)
        os.makedirs(place)
        path = every.save(estimator, place, "model", form=form)[0]
        truth = every.entry(one, estimator, short, path, form)
        truth["path"] = "sklearn/%s/%s" % (short, path)
        truth["source"] = "generated"
        with io.open(os.path.join(place, "truth.json"), "w", encoding="utf-8") as f:
            f.write(u"%s\n" % json.dumps(truth, indent=1, sort_keys=True, default=every.plain))
        print(short, sum(os.path.getsize(os.path.join(at, f)) for at, _, files in os.walk(place) for f in files))


if __name__ == "__main__":
    main()
