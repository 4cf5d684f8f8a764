"""Makes Spark ML models with Spark itself, and asks Spark what they take and give.

    python -m venv V && V/bin/pip install pyspark==3.5.3 numpy pandas   # or 4.0.1 on Java 17, 2.4.8 and 3.0.3 on Java 8
    V/bin/python spark.py OUT             # every case
    V/bin/python spark.py OUT lr nested   # the cases of these names
    V/bin/python spark.py OUT --small     # the cases that testdata keeps, without checksum files
    V/bin/python spark.py OUT --local     # every case twice, the second time as files without a cluster (4.2 on)

Each case is a folder OUT/<id>/ with the saved model in `model/` and a `truth.json`. The truth is what the model
gives after it was loaded again: a column is an input when `transform` fails without it (where nothing fails, as for
a lone StringIndexer, when a column is missing from the result without it); names and types are the schema of the
result; sizes are those of the first row.
"""
import json
import os
import re
import shutil
import sys

import pyspark
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml import classification as C
from pyspark.ml import clustering as K
from pyspark.ml import evaluation as E
from pyspark.ml import feature as F
from pyspark.ml import fpm as P
from pyspark.ml import recommendation as A
from pyspark.ml import regression as R
from pyspark.ml import tuning as T
from pyspark.ml.linalg import Vectors
from pyspark.sql import SparkSession

os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # OneVsRest runs Python in its workers
VERSION = tuple(int(p) for p in pyspark.__version__.split(".")[:2])
SMALL = ["pipe_label", "pipe_assemble", "pipe_text", "kmeans", "gmm", "lr", "onehot", "nested", "cv",
         "rformula", "not_fitted", "sql"]

spark = (SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
         .config("spark.ui.showConsoleProgress", "false")
         .config("spark.sql.shuffle.partitions", "1").config("spark.default.parallelism", "1")
         .config("spark.sql.codegen.wholeStage", "false").config("spark.sql.codegen.factoryMode", "NO_CODEGEN")
         .config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
         .config("spark.driver.memory", "1g").config("spark.driver.host", "localhost")
         .config("spark.driver.bindAddress", "127.0.0.1").getOrCreate())
spark.sparkContext.setLogLevel("OFF")

CITIES, WORDS = ["Oslo", "Rome", "Lima"], ["a quick fox", "the lazy dog", "a dog and the fox ran"]
ROWS = []
for i in range(24):
    text = WORDS[i % 3] + " w%d" % (i % 5)
    ROWS.append((
        float(i) + 0.5, i, float(i % 7) - 3.0, float(i * i % 11), i % 4, CITIES[i % 3], "g%d" % (i % 2), text,
        float(i % 2), float(i % 3), "setosa" if i % 2 else "virginica", i % 5, i % 6, bool(i % 2),
        Vectors.dense(float(i), float(i % 5), 1.0 + i % 2),
        Vectors.dense(float(i % 3), float(i % 5), float(i % 2), 2.0, float(i)),
        Vectors.sparse(6, [i % 3, 4], [1.0, 2.0 + i % 2]), text.split(" "), ["p%d" % (i % 3), "q"],
        float(i % 4), float(i % 3), 1.0, 1.0 + i % 3, str(i % 4)))
NAMES = ["f1", "n", "f3", "pos", "small", "city", "grp", "text", "label", "label3", "species", "user", "item",
         "flag", "vec", "vec5", "sparse", "words", "items", "idx", "idx2", "censor", "rating", "digits"]
DF = spark.createDataFrame(ROWS, NAMES)
DF = DF.withColumn("n", DF.n.cast("int")).withColumn("user", DF.user.cast("int")) \
    .withColumn("item", DF.item.cast("int")).withColumn("rating", DF.rating.cast("float")) \
    .withColumn("fl", DF.f1.cast("float"))

CASES = {}


def case(name, since=(2, 0), **more):
    """A case: the function gives a stage or a list of them; `loose` are the columns whose type no byte tells."""
    def add(f):
        if VERSION >= since:
            CASES[name] = (f, more)
        return f
    return add


def stage(name, f, since=(2, 0), **more):
    case(name, since, **more)(f)


SC = dict(inputCol="vec", outputCol="out")
stage("binarizer", lambda: F.Binarizer(threshold=2.0, inputCol="f1", outputCol="out"), loose=["out"])
stage("binarizer_vec", lambda: F.Binarizer(threshold=2.0, inputCol="vec", outputCol="out"), loose=["out"])
stage("binarizer_multi", lambda: F.Binarizer(thresholds=[1.0, 2.0], inputCols=["f1", "f3"], outputCols=["a", "b"]),
      (3, 0), loose=["a", "b"])
stage("brp_lsh", lambda: F.BucketedRandomProjectionLSH(bucketLength=2.0, numHashTables=3, **SC), (2, 2))
stage("minhash", lambda: F.MinHashLSH(numHashTables=2, inputCol="sparse", outputCol="out"), (2, 2))
stage("bucketizer", lambda: F.Bucketizer(splits=[-1e9, 0.0, 5.0, 1e9], inputCol="f1", outputCol="out"))
stage("bucketizer_multi", lambda: F.Bucketizer(splitsArray=[[-1e9, 0.0, 1e9]] * 2, inputCols=["f1", "f3"],
                                               outputCols=["a", "b"]), (3, 0))
stage("chisq", lambda: F.ChiSqSelector(numTopFeatures=2, featuresCol="vec5", outputCol="out"))
stage("univariate", lambda: F.UnivariateFeatureSelector(featuresCol="vec5", outputCol="out", selectionMode="numTopFeatures")
      .setFeatureType("continuous").setLabelType("categorical").setSelectionThreshold(2), (3, 1))
stage("variance", lambda: F.VarianceThresholdSelector(featuresCol="vec5", outputCol="out", varianceThreshold=0.1), (3, 1))
stage("count", lambda: F.CountVectorizer(inputCol="words", outputCol="out"))
stage("count_limit", lambda: F.CountVectorizer(inputCol="words", outputCol="out", vocabSize=3, minDF=2.0, binary=True))
stage("dct", lambda: F.DCT(inverse=False, **SC), loose=["out"])
stage("elementwise", lambda: F.ElementwiseProduct(scalingVec=Vectors.dense(1.0, 2.0, 3.0), **SC))
stage("elementwise_sparse", lambda: F.ElementwiseProduct(scalingVec=Vectors.sparse(3, [1], [3.0]), **SC))
stage("hasher", lambda: F.FeatureHasher(inputCols=["f1", "city", "flag"], outputCol="out"), (2, 3))
stage("hasher_small", lambda: F.FeatureHasher(inputCols=["f1", "city"], outputCol="out", numFeatures=64), (2, 3))
stage("hashing", lambda: F.HashingTF(inputCol="words", outputCol="out"))
stage("hashing_small", lambda: F.HashingTF(inputCol="words", outputCol="out", numFeatures=32))
stage("idf", lambda: F.IDF(**SC))
stage("imputer", lambda: F.Imputer(inputCols=["f1", "f3"], outputCols=["a", "b"]), (2, 2), loose=["a", "b"])
stage("imputer_one", lambda: F.Imputer(inputCol="f1", outputCol="a"), (3, 0), loose=["a"])
stage("imputer_float", lambda: F.Imputer(inputCols=["fl"], outputCols=["a"]), (2, 2), loose=["a"])
stage("index_to_string", lambda: F.IndexToString(inputCol="idx", outputCol="out", labels=["a", "b", "c", "d"]))
stage("interaction", lambda: F.Interaction(inputCols=["f1", "f3"], outputCol="out"), (3, 0), loose=["out"])
stage("maxabs", lambda: F.MaxAbsScaler(**SC))
stage("minmax", lambda: F.MinMaxScaler(**SC))
stage("ngram", lambda: F.NGram(n=2, inputCol="words", outputCol="out"))
stage("normalizer", lambda: F.Normalizer(p=1.0, **SC), loose=["out"])
stage("onehot", lambda: F.OneHotEncoder(inputCols=["idx", "idx2"], outputCols=["a", "b"]), (3, 0))
stage("onehot_keep", lambda: F.OneHotEncoder(inputCols=["idx"], outputCols=["a"], handleInvalid="keep"), (3, 0))
stage("onehot_nodrop", lambda: F.OneHotEncoder(inputCols=["idx"], outputCols=["a"], dropLast=False), (3, 0))
stage("onehot_both", lambda: F.OneHotEncoder(inputCols=["idx"], outputCols=["a"], dropLast=False, handleInvalid="keep"), (3, 0))
stage("onehot_one", lambda: F.OneHotEncoder(inputCol="idx", outputCol="a"), (3, 0))
if VERSION < (3, 0):
    stage("onehot_old", lambda: F.OneHotEncoder(inputCol="idx", outputCol="out"), loose=["out"])
    stage("onehot_est", lambda: F.OneHotEncoderEstimator(inputCols=["idx", "idx2"], outputCols=["a", "b"]), (2, 3))
stage("pca", lambda: F.PCA(k=2, inputCol="vec5", outputCol="out"))
stage("poly", lambda: F.PolynomialExpansion(degree=3, **SC), loose=["out"])
stage("quantile", lambda: F.QuantileDiscretizer(numBuckets=3, inputCol="f1", outputCol="out"))
stage("quantile_multi", lambda: F.QuantileDiscretizer(numBucketsArray=[3, 2], inputCols=["f1", "f3"], outputCols=["a", "b"]), (3, 0))
stage("robust", lambda: F.RobustScaler(**SC), (3, 0))
stage("regex", lambda: F.RegexTokenizer(inputCol="text", outputCol="out", pattern="\\s+"))
stage("rformula", lambda: F.RFormula(formula="label ~ f1 + city + vec"))
stage("rformula_inter", lambda: F.RFormula(formula="label ~ f1 + city:grp + f3", featuresCol="ff", labelCol="ll"))
stage("rformula_all", lambda: F.RFormula(formula="species ~ f1 + n + flag", featuresCol="ff", labelCol="ll"))
stage("rformula_noint", lambda: F.RFormula(formula="label ~ city + f1 - 1", featuresCol="ff", labelCol="ll"))
stage("sql", lambda: F.SQLTransformer(statement="SELECT *, (f1 + f3) AS total, city AS town FROM __THIS__"), loose=["total", "town"])
stage("sql_list", lambda: F.SQLTransformer(
    statement="select f1, upper(city) as town, cast(n as double) nd, f1 * 2 FROM __THIS__ where pos > 1 and city <> 'x'"),
    loose=["town", "(f1 * 2)", "f1"])
stage("sql_literal", lambda: F.SQLTransformer(
    statement="SELECT *, 'x, y' AS s, 1 AS one, 1.5D AS d, true AS t, CAST(f1 AS FLOAT) AS fl2, concat(city, ', ', grp) AS `c c` FROM __THIS__"),
    loose=["c c"])
stage("standard", lambda: F.StandardScaler(withMean=True, **SC))
stage("stop", lambda: F.StopWordsRemover(inputCol="words", outputCol="out"))
stage("stop_multi", lambda: F.StopWordsRemover(inputCols=["words", "items"], outputCols=["a", "b"]), (3, 0))
stage("indexer", lambda: F.StringIndexer(inputCol="city", outputCol="out"))
stage("indexer_num", lambda: F.StringIndexer(inputCol="n", outputCol="out"))
stage("indexer_digits", lambda: F.StringIndexer(inputCol="digits", outputCol="out"))
stage("indexer_multi", lambda: F.StringIndexer(inputCols=["city", "grp"], outputCols=["a", "b"]), (3, 0))
stage("tokenizer", lambda: F.Tokenizer(inputCol="text", outputCol="out"))
stage("assembler", lambda: F.VectorAssembler(inputCols=["f1", "n", "flag"], outputCol="out"), loose=["out"])
stage("assembler_vec", lambda: F.VectorAssembler(inputCols=["f1", "vec"], outputCol="out"), loose=["out"])
stage("vector_indexer", lambda: F.VectorIndexer(maxCategories=3, **SC))
stage("size_hint", lambda: F.VectorSizeHint(inputCol="vec", size=3, handleInvalid="skip"), (2, 3))
stage("slicer", lambda: F.VectorSlicer(inputCol="vec5", outputCol="out", indices=[0, 3]))
stage("word2vec", lambda: F.Word2Vec(vectorSize=4, minCount=0, inputCol="words", outputCol="out", numPartitions=1))
stage("target", lambda: F.TargetEncoder(inputCols=["idx", "idx2"], outputCols=["a", "b"]), (4, 0))

V = dict(featuresCol="vec")
for name, label in (("lr", "label"), ("lr_multi", "label3")):
    stage(name, lambda label=label: C.LogisticRegression(maxIter=2, labelCol=label, **V))
stage("svc", lambda: C.LinearSVC(maxIter=2, **V), (2, 2))
stage("dt", lambda: C.DecisionTreeClassifier(maxDepth=2, labelCol="label3", **V))
stage("dt_leaf", lambda: C.DecisionTreeClassifier(maxDepth=2, leafCol="leaf", labelCol="label3", **V), (3, 0))
stage("rf", lambda: C.RandomForestClassifier(numTrees=3, maxDepth=2, labelCol="label3", **V))
stage("rf_leaf", lambda: C.RandomForestClassifier(numTrees=3, maxDepth=2, leafCol="leaf", **V), (3, 0))
stage("gbt", lambda: C.GBTClassifier(maxIter=2, maxDepth=2, **V))
stage("gbt_leaf", lambda: C.GBTClassifier(maxIter=2, maxDepth=2, leafCol="leaf", **V), (3, 0))
stage("nb", lambda: C.NaiveBayes(labelCol="label3", **V))
stage("nb_gauss", lambda: C.NaiveBayes(labelCol="label3", modelType="gaussian", **V), (3, 0))
stage("mlp", lambda: C.MultilayerPerceptronClassifier(maxIter=2, layers=[3, 4, 3], labelCol="label3", **V))
stage("fm", lambda: C.FMClassifier(maxIter=2, factorSize=2, **V), (3, 0))
stage("ovr", lambda: C.OneVsRest(classifier=C.LogisticRegression(maxIter=2), labelCol="label3", featuresCol="vec"))
stage("ovr_tree", lambda: C.OneVsRest(classifier=C.DecisionTreeClassifier(maxDepth=2), labelCol="label3", featuresCol="vec",
                                      predictionCol="pp"))
stage("lr_noprob", lambda: C.LogisticRegression(maxIter=2, probabilityCol="", rawPredictionCol="raw", **V))
stage("lr_nopred", lambda: C.LogisticRegression(maxIter=2, predictionCol="", rawPredictionCol="", **V))
stage("linreg", lambda: R.LinearRegression(maxIter=2, labelCol="f1", **V))
stage("glr", lambda: R.GeneralizedLinearRegression(maxIter=2, labelCol="f1", linkPredictionCol="link", **V))
stage("glr_plain", lambda: R.GeneralizedLinearRegression(maxIter=2, labelCol="f1", offsetCol="f3", **V), (2, 3))
stage("aft", lambda: R.AFTSurvivalRegression(maxIter=2, labelCol="rating", censorCol="label", quantilesCol="q",
                                             quantileProbabilities=[0.1, 0.5, 0.9], **V))
stage("aft_plain", lambda: R.AFTSurvivalRegression(maxIter=2, labelCol="rating", censorCol="label", **V))
stage("dtr", lambda: R.DecisionTreeRegressor(maxDepth=2, labelCol="f1", varianceCol="var", **V))
stage("dtr_leaf", lambda: R.DecisionTreeRegressor(maxDepth=2, labelCol="f1", leafCol="leaf", **V), (3, 0))
stage("rfr", lambda: R.RandomForestRegressor(numTrees=2, maxDepth=2, labelCol="f1", **V))
stage("rfr_leaf", lambda: R.RandomForestRegressor(numTrees=2, maxDepth=2, labelCol="f1", leafCol="leaf", **V), (3, 0))
stage("gbtr", lambda: R.GBTRegressor(maxIter=2, maxDepth=2, labelCol="f1", **V))
stage("gbtr_leaf", lambda: R.GBTRegressor(maxIter=2, maxDepth=2, labelCol="f1", leafCol="leaf", **V), (3, 0))
stage("isotonic", lambda: R.IsotonicRegression(labelCol="f1", featuresCol="f3"))
stage("isotonic_vec", lambda: R.IsotonicRegression(labelCol="f1", featureIndex=1, **V))
stage("fmr", lambda: R.FMRegressor(maxIter=2, labelCol="f1", factorSize=2, **V), (3, 0))
stage("kmeans", lambda: K.KMeans(k=2, maxIter=2, **V))
stage("bisecting", lambda: K.BisectingKMeans(k=2, maxIter=2, **V))
stage("gmm", lambda: K.GaussianMixture(k=2, maxIter=2, featuresCol="vec"))
stage("lda", lambda: K.LDA(k=3, maxIter=2, featuresCol="vec5"))
stage("lda_em", lambda: K.LDA(k=3, maxIter=2, featuresCol="vec5", optimizer="em"))
stage("als", lambda: A.ALS(rank=2, maxIter=2, userCol="user", itemCol="item", ratingCol="rating"))
stage("fp", lambda: P.FPGrowth(itemsCol="items", minSupport=0.1, minConfidence=0.1), (2, 2))

ASM = lambda: F.VectorAssembler(inputCols=["f1", "n", "vec"], outputCol="features")
stage("pipe_label", lambda: [F.StringIndexer(inputCol="species", outputCol="y"), ASM(),
                             C.LogisticRegression(maxIter=2, labelCol="y"),
                             F.IndexToString(inputCol="prediction", outputCol="named", labels=["setosa", "virginica"])])
stage("pipe_assemble", lambda: [F.VectorAssembler(inputCols=["f1", "f3"], outputCol="raw"),
                                F.StandardScaler(inputCol="raw", outputCol="features"),
                                R.LinearRegression(maxIter=2, labelCol="pos")])
stage("pipe_text", lambda: [F.Tokenizer(inputCol="text", outputCol="tok"), F.StopWordsRemover(inputCol="tok", outputCol="kept"),
                            F.HashingTF(inputCol="kept", outputCol="tf", numFeatures=64), F.IDF(inputCol="tf", outputCol="features"),
                            C.NaiveBayes()])
stage("pipe_ngram", lambda: [F.RegexTokenizer(inputCol="text", outputCol="tok"), F.NGram(inputCol="tok", outputCol="two"),
                             F.CountVectorizer(inputCol="two", outputCol="counts"), K.LDA(k=2, maxIter=2, featuresCol="counts")])
stage("pipe_onehot", lambda: [F.StringIndexer(inputCols=["city", "grp"], outputCols=["ci", "gi"], handleInvalid="keep"),
                              F.OneHotEncoder(inputCols=["ci", "gi"], outputCols=["cv", "gv"]),
                              F.Imputer(inputCols=["f1"], outputCols=["f1i"]),
                              F.VectorAssembler(inputCols=["cv", "gv", "f1i", "vec"], outputCol="features"),
                              C.RandomForestClassifier(numTrees=2, maxDepth=2)], (3, 0), loose=["f1i"])
stage("pipe_poly", lambda: [F.VectorSizeHint(inputCol="vec", size=3), F.PolynomialExpansion(inputCol="vec", outputCol="p"),
                            F.Normalizer(inputCol="p", outputCol="pn"), F.VectorSlicer(inputCol="pn", outputCol="s", indices=[0, 1, 2]),
                            F.DCT(inputCol="s", outputCol="features"), K.KMeans(k=2)], (2, 3))
stage("pipe_interact", lambda: [F.VectorAssembler(inputCols=["f1", "f3"], outputCol="two"),
                                F.StandardScaler(inputCol="two", outputCol="scaled"),
                                F.Interaction(inputCols=["n", "two"], outputCol="features"),
                                R.LinearRegression(maxIter=2, labelCol="pos")], (3, 0))
stage("pipe_back", lambda: [F.MinMaxScaler(inputCol="vec", outputCol="mm"), F.VectorAssembler(inputCols=["mm", "vec5"], outputCol="all"),
                            F.Normalizer(inputCol="all", outputCol="norm"), C.GBTClassifier(maxIter=2, maxDepth=2, featuresCol="norm")])
stage("pipe_poly_back", lambda: [F.PolynomialExpansion(inputCol="vec", outputCol="p"), K.KMeans(k=2, featuresCol="p")])
stage("pipe_select", lambda: [F.VectorAssembler(inputCols=["f1", "pos", "vec5"], outputCol="all"),
                              F.ChiSqSelector(numTopFeatures=2, featuresCol="vec5", outputCol="sel"),
                              F.PCA(k=2, inputCol="all", outputCol="pca"),
                              F.VectorAssembler(inputCols=["sel", "pca"], outputCol="features"),
                              C.LinearSVC(maxIter=2)], (2, 2))
stage("pipe_unused_index", lambda: [F.StringIndexer(inputCol="city", outputCol="ci"), F.StringIndexer(inputCol="grp", outputCol="gi"),
                                    F.VectorAssembler(inputCols=["gi", "f1"], outputCol="features"),
                                    R.DecisionTreeRegressor(maxDepth=2, labelCol="pos")])
stage("pipe_shared_index", lambda: [F.StringIndexer(inputCol="text", outputCol="ti"), F.Tokenizer(inputCol="text", outputCol="tok"),
                                    F.HashingTF(inputCol="tok", outputCol="features", numFeatures=16),
                                    C.LogisticRegression(maxIter=2)])
stage("pipe_rformula", lambda: [F.RFormula(formula="species ~ f1 + city + n", labelCol="y"),
                                C.LogisticRegression(maxIter=2, labelCol="y")])
stage("pipe_rformula_num", lambda: [F.RFormula(formula="pos ~ f1 + flag + vec", labelCol="y"),
                                    R.LinearRegression(maxIter=2, labelCol="y")])
stage("pipe_sql", lambda: [F.SQLTransformer(statement="SELECT f1, f3, f1 - f3 AS d FROM __THIS__"),
                           F.VectorAssembler(inputCols=["f1", "d"], outputCol="features"), K.KMeans(k=2)], loose=["d"])
stage("pipe_sql_drop", lambda: [F.StandardScaler(inputCol="vec", outputCol="scaled"),
                                F.SQLTransformer(statement="SELECT scaled, city FROM __THIS__"),
                                F.StringIndexer(inputCol="city", outputCol="ci"),
                                F.VectorAssembler(inputCols=["scaled", "ci"], outputCol="features"), K.KMeans(k=2)], loose=["city"])
stage("pipe_buckets", lambda: [F.QuantileDiscretizer(numBuckets=3, inputCol="f1", outputCol="b"), F.Binarizer(inputCol="f3", outputCol="z"),
                               F.VectorAssembler(inputCols=["b", "z"], outputCol="features"),
                               R.RandomForestRegressor(numTrees=2, maxDepth=2, labelCol="pos")])
stage("pipe_index_vec", lambda: [F.VectorIndexer(inputCol="vec", outputCol="iv", maxCategories=3),
                                 R.DecisionTreeRegressor(featuresCol="iv", labelCol="pos", maxDepth=2)])
stage("pipe_w2v", lambda: [F.Tokenizer(inputCol="text", outputCol="tok"), F.Word2Vec(vectorSize=3, minCount=0, inputCol="tok", outputCol="w"),
                           F.VectorAssembler(inputCols=["w", "f1"], outputCol="features"), C.MultilayerPerceptronClassifier(layers=[4, 2], maxIter=2)])
stage("pipe_two_models", lambda: [K.KMeans(k=2, featuresCol="vec", predictionCol="cluster"),
                                  F.VectorAssembler(inputCols=["cluster", "vec5"], outputCol="features"), C.LogisticRegression(maxIter=2)])
stage("pipe_twelve", lambda: [F.Bucketizer(splits=[-1e9, float(i), 1e9], inputCol="f1", outputCol="b%d" % i) for i in range(11)]
      + [F.VectorAssembler(inputCols=["b%d" % i for i in range(11)], outputCol="features"), C.LogisticRegression(maxIter=1)])
stage("nested", lambda: [Pipeline(stages=[F.VectorAssembler(inputCols=["f1", "vec"], outputCol="a"),
                                          Pipeline(stages=[F.StandardScaler(inputCol="a", outputCol="b")])]),
                         C.LogisticRegression(maxIter=2, featuresCol="b")])
stage("pipe_ovr", lambda: [F.StringIndexer(inputCol="city", outputCol="y"), F.VectorAssembler(inputCols=["f1", "vec"], outputCol="features"),
                           C.OneVsRest(classifier=C.LogisticRegression(maxIter=1), labelCol="y")], (2, 3))
stage("empty", lambda: [])


def tuned(kind, **more):
    lr = C.LogisticRegression(maxIter=1)
    grid = T.ParamGridBuilder().addGrid(lr.regParam, [0.1, 0.2]).build()
    pipe = Pipeline(stages=[F.VectorAssembler(inputCols=["f1", "vec"], outputCol="features"), lr])
    return kind(estimator=pipe, estimatorParamMaps=grid, evaluator=E.BinaryClassificationEvaluator(), **more)


stage("cv", lambda: tuned(T.CrossValidator, numFolds=2), (2, 3))
stage("cv_sub", lambda: tuned(T.CrossValidator, numFolds=2, collectSubModels=True), (2, 4))
stage("tvs", lambda: tuned(T.TrainValidationSplit), (2, 3))
stage("pipe_cv", lambda: [F.StringIndexer(inputCol="grp", outputCol="gi"), tuned(T.CrossValidator, numFolds=2)], (2, 3))
stage("not_fitted", lambda: None, save=lambda: Pipeline(stages=[ASM(), C.LogisticRegression()]))
stage("not_fitted_lr", lambda: None, save=lambda: C.LogisticRegression())


def spark_type(t):
    s = t.simpleString()
    return s


DTYPES = {"double": "float64", "float": "float32", "int": "int32", "bigint": "int64", "smallint": "int16", "tinyint": "int8",
          "boolean": "bool", "string": "string", "vector": "float64"}


def tensor(name, kind, value):
    inner, shape = kind, [None]
    if kind.startswith("array<"):
        inner = kind[6:-1]
        shape = [None, len(value) if inner == "vector" else None]
    if inner == "vector":
        first = value[0] if kind != inner else value
        shape = shape + [first.toArray().shape[0]]
    return {"name": name, "dtype": DTYPES.get(inner), "shape": shape, "spark_type": kind}


def words(path):
    """All text of the metadata and data of a saved model."""
    return " ".join(open(os.path.join(d, f), errors="ignore").read() for d, _, files in os.walk(path) for f in files)


def truth(model, path, loose):
    full = model.transform(DF).columns
    said = set(re.findall(r"\w+", words(path)))
    needed, rest = [], [[n for n in DF.columns if n not in said]] + [[n] for n in DF.columns if n in said]
    # What no file of the model mentions is tried in one go, and one by one only where that fails.
    while rest:
        names = rest.pop(0)
        try:
            model.transform(DF.drop(*names)).schema
        except Exception:
            rest = [[n] for n in names] + rest if len(names) > 1 else rest
            needed += names if len(names) == 1 else []
    needed = [n for n in DF.columns if n in needed]
    if not needed:
        needed = [n for n in DF.columns if set(full) - set(model.transform(DF.drop(n)).columns) - {n}]
    result = model.transform(DF.select(needed))
    first, row = result.first(), DF.first()
    kinds = {f.name: spark_type(f.dataType) for f in DF.schema.fields}
    inputs = [tensor(n, kinds[n], row[n]) for n in needed]
    outputs = [tensor(f.name, spark_type(f.dataType), first[f.name]) for f in result.schema.fields if f.name not in needed]
    over = {}
    for i, o in enumerate(outputs):
        if o["name"] in loose:
            over["/signatures/0/outputs/%d/dtype" % i] = over["/signatures/0/outputs/%d/shape" % i] = "partial"
            if "(" in o["name"]:  # a name that Spark makes up
                over["/signatures/0/outputs/%d/name" % i] = "partial"
    return {
        "signatures": [{"name": "transform", "inputs": inputs, "outputs": outputs}],
        "determinable": {"format": "stored", "signatures": "derived", "inputs.name": "stored", "inputs.dtype": "partial",
                         "inputs.shape": "partial", "outputs.name": "stored", "outputs.dtype": "derived",
                         "outputs.shape": "derived", "tensors": "n/a", "overrides": over},
        "extra": {"all_columns_after_transform": result.columns}}


def short(model):
    return [type(s).__name__ for s in model.stages] if isinstance(model, PipelineModel) else [type(model).__name__]


def make(out, name):
    build, more = CASES[name]
    ident = "sp%d%d_%s" % (VERSION[0], VERSION[1], name)
    folder = os.path.join(out, ident)
    shutil.rmtree(folder, ignore_errors=True)
    path = os.path.join(folder, "model")
    t = {"id": ident, "format": "spark", "framework": "spark-ml", "framework_version": pyspark.__version__,
         "path": "spark/%s/model" % ident, "expect": "ok", "source": "generated"}
    if "save" in more:
        more["save"]().save(path)
        t.update({"signatures": [], "determinable": {"format": "stored", "signatures": "no"}, "findings": ["not-fitted"]})
    else:
        s = build()
        s = Pipeline(stages=s) if isinstance(s, list) else s
        model = s.fit(DF) if hasattr(s, "fit") else s
        model.save(path)
        model = type(model).load(path)
        t.update(truth(model, path, more.get("loose", [])))
        t["extra"]["stages"] = short(model)
        t["facts"] = {"sparkml.uid": model.uid, "sparkml.sparkVersion": pyspark.__version__}
        if "--local" in sys.argv:
            local = folder + "_local"
            shutil.rmtree(local, ignore_errors=True)
            os.makedirs(local)
            java = model._java_obj if hasattr(model, "_java_obj") else model._to_java()
            java.write().saveToLocal(os.path.join(local, "model"))
            tell(local, dict(t, id=ident + "_local", path="spark/%s_local/model" % ident))
    tell(folder, t)
    return folder


def tell(folder, t):
    with open(os.path.join(folder, "truth.json"), "w") as f:
        json.dump(t, f, indent=1)
        f.write("\n")


def main():
    args = [a for a in sys.argv[2:] if not a.startswith("--")]
    small = "--small" in sys.argv
    for name in (SMALL if small else args or list(CASES)):
        if name not in CASES:
            continue
        try:
            folder = make(sys.argv[1], name)
        except Exception as e:
            print("FAILED", name, str(e)[:300].replace("\n", " "))
            continue
        if small:
            for root, _, files in os.walk(folder):
                for f in files:
                    if f.endswith(".crc"):
                        os.remove(os.path.join(root, f))
        print("ok", name, flush=True)


if __name__ == "__main__":
    main()
    spark.stop()
