"""More cases for `spark.py`, which says how it is run: pipelines whose stages depend on each other, SQL, formulas,
columns of other names, and what Spark writes with other compressions and versions of parquet.

    V/bin/python spark_more.py OUT                        # every case
    V/bin/python spark_more.py OUT x_sql_case             # the cases of these names
    V/bin/python spark_more.py OUT --pack gzip x_labels   # the same, packed in another way: see PACKS

A case of `--pack gzip` has the suffix `_gzip`.
"""
import sys

import spark as base
from spark import *

PACKS = {
    "gzip": {"spark.sql.parquet.compression.codec": "gzip"}, "zstd": {"spark.sql.parquet.compression.codec": "zstd"},
    "lz4": {"spark.sql.parquet.compression.codec": "lz4"}, "lz4raw": {"spark.sql.parquet.compression.codec": "lz4raw"},
    "none": {"spark.sql.parquet.compression.codec": "none"},
    "v2": {"parquet.writer.version": "v2"}, "v2zstd": {"parquet.writer.version": "v2", "spark.sql.parquet.compression.codec": "zstd"},
    "plain": {"parquet.writer.version": "v2", "parquet.enable.dictionary": "false", "spark.sql.parquet.compression.codec": "none"},
    "v1plain": {"parquet.enable.dictionary": "false"}, "legacy": {"spark.sql.parquet.writeLegacyFormat": "true"},
}
for short_name, codec in {"tgz": "GzipCodec", "tsnappy": "SnappyCodec", "tlz4": "Lz4Codec", "tbz2": "BZip2Codec",
                          "tdeflate": "DefaultCodec", "tzst": "ZStandardCodec"}.items():
    PACKS[short_name] = {"mapreduce.output.fileoutputformat.compress": "true",
                         "mapreduce.output.fileoutputformat.compress.codec": "org.apache.hadoop.io.compress." + codec}
SQL = lambda s: F.SQLTransformer(statement=s)
VA = lambda *c, **k: F.VectorAssembler(inputCols=list(c), outputCol=k.pop("to", "features"), **k)
KM = lambda **k: K.KMeans(k=2, maxIter=1, **k)
LR = lambda **k: C.LogisticRegression(maxIter=1, **k)
SI = lambda c, o, **k: F.StringIndexer(inputCol=c, outputCol=o, **k)

# Statements.
stage("x_sql_star", lambda: [SQL("SELECT * FROM __THIS__"), KM(featuresCol="vec")])
stage("x_sql_star_alias", lambda: [SQL("SELECT *, f1 AS g1, vec AS v2 FROM __THIS__"), KM(featuresCol="v2")], loose=["g1"])
stage("x_sql_case", lambda: [SQL("SELECT *, CASE WHEN f1 > 3 THEN 1.0D ELSE 0.0D END AS big, length(text) AS len FROM __THIS__"),
                             VA("big", "len", "f1"), KM()], loose=["big", "len"])
stage("x_sql_if", lambda: SQL("SELECT vec, if(flag, f1, f3) AS p, coalesce(f1, 0.0D) AS q, n IS NULL AS r, f1 BETWEEN 1 AND 2 AS s FROM __THIS__"),
      loose=["p", "q", "r", "s", "vec"])
stage("x_sql_types", lambda: SQL("SELECT CAST(f1 AS int) a, double(n) b, string(n) c, NOT flag d, f1 > 2 e, concat(city, '-') g, size(words) h, "
                                 "array(f1, f3) i, split(text, ' ') j, upper(city) k, log(f1) l, sqrt(f1) m, f1 / 2 o, current_date() p FROM __THIS__"),
      loose=list("abcdeghijklmop"))
stage("x_sql_where", lambda: [SQL("SELECT * FROM __THIS__ WHERE f1 > 0 AND city IN ('Oslo', 'Rome')"), KM(featuresCol="vec")])
stage("x_sql_quoted", lambda: SQL("SELECT `f1` AS `my col`, __THIS__.f3, __THIS__.city AS town, 'from' AS w FROM __THIS__"),
      loose=["my col", "f3", "town"])
stage("x_sql_rename_back", lambda: [F.StandardScaler(inputCol="vec", outputCol="s"), SQL("SELECT s AS features, f1 FROM __THIS__"), KM()],
      loose=["f1"])
stage("x_sql_swap", lambda: [SQL("SELECT f1 AS f3, f3 AS f1, vec FROM __THIS__"), VA("f1", "f3", "vec"), KM()], loose=["f3"])
stage("x_sql_twice", lambda: [SQL("SELECT *, f1 + 1 AS a FROM __THIS__"), SQL("SELECT *, a * 2 AS b FROM __THIS__"), VA("a", "b", "f3"), KM()],
      loose=["a", "b"])
stage("x_sql_mid", lambda: [F.Tokenizer(inputCol="text", outputCol="tok"), F.HashingTF(inputCol="tok", outputCol="tf", numFeatures=8),
                            SQL("SELECT tf, f1, flag FROM __THIS__"), VA("tf", "f1", "flag"), KM()], loose=["f1", "flag"])
stage("x_sql_group", lambda: SQL("SELECT city, count(*) AS c FROM __THIS__ GROUP BY city"), loose=["city", "c"])
stage("x_sql_over", lambda: SQL("SELECT *, rank() OVER (PARTITION BY city ORDER BY f1) AS r FROM __THIS__"), loose=["r"])
stage("x_sql_lower", lambda: SQL("select f1,f3 from __THIS__ where f1>f3"), loose=["f1", "f3"])
stage("x_sql_spaces", lambda: SQL("\n  SELECT\n    *,\n    (f1 * f3) AS prod,\n    -1 AS minus\n  FROM __THIS__\n"), loose=["prod"])
stage("x_sql_case_names", lambda: [F.Tokenizer(inputCol="text", outputCol="tok"), SQL("SELECT TOK AS toks, Text AS said FROM __THIS__")])
stage("x_sql_order", lambda: SQL("SELECT f1 FROM __THIS__ ORDER BY f3 LIMIT 5"), loose=["f1"])
stage("x_sql_sub", lambda: SQL("SELECT * FROM (SELECT *, f1 * 2 AS twice FROM __THIS__) WHERE twice > 1"), loose=["twice"])
stage("x_sql_distinct", lambda: SQL("SELECT DISTINCT city, grp FROM __THIS__"), loose=["city", "grp"])
stage("x_sql_alias_table", lambda: SQL("SELECT t.f1, t.vec AS v FROM __THIS__ t"), loose=["f1", "v"])
stage("x_sql_comment", lambda: SQL("SELECT f1 /* first */, f3 -- second\n FROM __THIS__"), loose=["f1", "f3"])

# Formulas.
for name, formula in {
    "dot": "label ~ . - text - words - items - sparse - vec - vec5", "two_text": "label ~ city + grp", "cross_text": "label ~ city:grp",
    "cross_num": "label ~ f1:f3 + n", "cross_mixed": "label ~ city:f1 + f3", "star": "label ~ city + f1 + city:f1",
    "triple": "label ~ city:grp:f1", "vec": "label ~ vec + vec5",
    "flag": "label ~ flag + f1", "noint": "pos ~ grp + city - 1", "text_label": "city ~ f1 + pos",
    "num_only": "pos ~ f1", "drop_term": "label ~ city + f1 + f3 - f3", "nolabel": "~ f1 + city",
}.items():
    stage("x_rf_" + name, lambda formula=formula: F.RFormula(formula=formula, featuresCol="ff", labelCol="ll"), (2, 3),
          loose=["ff"] if name in ("cross_num", "cross_mixed", "triple") else [])  # a number in a product may be a vector too
for order in ("frequencyAsc", "alphabetDesc"):
    stage("x_rf_" + order, lambda order=order: F.RFormula(formula="label ~ city + grp", featuresCol="ff", labelCol="ll",
                                                          stringIndexerOrderType=order, handleInvalid="keep"), (2, 3))
stage("x_rf_pipe", lambda: [F.RFormula(formula="species ~ f1 + city:grp", featuresCol="features", labelCol="label_"), LR(labelCol="label_")])
stage("x_rf_force", lambda: F.RFormula(formula="label ~ f1 + city", featuresCol="ff", labelCol="ll", forceIndexLabel=True))
stage("x_rf_after", lambda: [SI("grp", "gi"), F.RFormula(formula="label ~ gi + f1 + flag", featuresCol="ff", labelCol="ll")])
stage("x_rf_same_label", lambda: [F.RFormula(formula="label ~ f1 + city"), LR()])

# Interactions.
ONE = lambda *c: F.OneHotEncoder(inputCols=list(c), outputCols=[x + "_v" for x in c])
stage("x_in_index", lambda: [SI("city", "ci"), F.Interaction(inputCols=["ci", "f1"], outputCol="out")], (3, 0), loose=["out"])
stage("x_in_two_index", lambda: [SI("city", "ci"), SI("grp", "gi", handleInvalid="keep"), F.Interaction(inputCols=["ci", "gi"], outputCol="out")], (3, 0))
stage("x_in_onehot", lambda: [SI("city", "ci"), ONE("ci"), VA("f1", "f3", to="fv"), F.Interaction(inputCols=["ci_v", "fv"], outputCol="out")],
      (3, 0), loose=["fv", "out"])
stage("x_in_assembled_index", lambda: [SI("city", "ci"), VA("ci", "f1", to="av"), F.Interaction(inputCols=["av", "f3"], outputCol="out")], (3, 0), loose=["out", "av"])
stage("x_in_bucket", lambda: [F.Bucketizer(splits=[-1e9, 0.0, 5.0, 1e9], inputCol="f1", outputCol="b"), F.Interaction(inputCols=["b", "f3"], outputCol="out")], (3, 0), loose=["out"])
stage("x_in_three", lambda: [SI("city", "ci"), F.Interaction(inputCols=["ci", "f1", "f3"], outputCol="features"), KM()], (3, 0))
stage("x_in_pred", lambda: [KM(featuresCol="vec", predictionCol="p"), F.Interaction(inputCols=["p", "f1"], outputCol="out")], (3, 0), loose=["out"])

# Indexers and encoders.
for how in ("skip", "keep", "error"):
    stage("x_si_" + how, lambda how=how: [SI("city", "ci", handleInvalid=how, stringOrderType="alphabetAsc"), ONE("ci"), VA("ci_v", "f1"), KM()], (3, 0))
    stage("x_sim_" + how, lambda how=how: [F.StringIndexer(inputCols=["city", "grp", "digits"], outputCols=["a", "b", "c"], handleInvalid=how),
                                           F.OneHotEncoder(inputCols=["a", "b", "c"], outputCols=["av", "bv", "cv"], dropLast=how == "skip",
                                                           handleInvalid="keep" if how == "keep" else "error"), VA("av", "bv", "cv"), KM()], (3, 0))
stage("x_si_back", lambda: [SI("city", "ci"), F.IndexToString(inputCol="ci", outputCol="again")])
stage("x_si_chain", lambda: [SI("city", "ci"), SI("ci", "cii"), VA("cii", "f1"), KM()])
stage("x_si_flag", lambda: [SI("digits", "d"), VA("d", "flag", "fl"), KM()])
stage("x_te", lambda: F.TargetEncoder(inputCols=["idx"], outputCols=["a"], targetType="continuous", labelCol="pos"), (4, 0))
stage("x_labels", lambda: [SI("text", "ti"), F.CountVectorizer(inputCol="words", outputCol="cv", vocabSize=20), VA("cv", "ti"), LR()])

# Sizes that follow.
stage("x_two_open", lambda: [VA("vec", "vec5"), LR()], loose=["vec", "vec5"])
stage("x_back_scaler", lambda: [F.MaxAbsScaler(inputCol="vec", outputCol="m"), F.Normalizer(inputCol="m", outputCol="nn"), VA("nn", "f1"), F.PCA(k=2, inputCol="features", outputCol="p")])
stage("x_nested_asm", lambda: [VA("f1", "f3", to="a"), VA("a", "vec", to="b"), VA("b", "pos"), C.LinearSVC(maxIter=1)], (2, 2), loose=["a", "b"])
stage("x_slice_names", lambda: [VA("f1", "f3", "pos", to="a"), F.VectorSlicer(inputCol="a", outputCol="s", names=["f1", "pos"]), KM(featuresCol="s")], loose=["a"])
stage("x_slice_both", lambda: [VA("f1", "f3", "pos", to="a"), F.VectorSlicer(inputCol="a", outputCol="s", names=["f1"], indices=[2]), KM(featuresCol="s")], loose=["a"])
stage("x_poly", lambda: [VA("f1", "f3", to="a"), F.PolynomialExpansion(degree=4, inputCol="a", outputCol="p"), R.LinearRegression(maxIter=1, featuresCol="p", labelCol="pos")])
stage("x_dct", lambda: [F.DCT(inverse=True, inputCol="vec5", outputCol="d"), KM(featuresCol="d")])
stage("x_bin_vec", lambda: [F.Binarizer(threshold=1.0, inputCol="vec", outputCol="b"), KM(featuresCol="b")])
stage("x_bin_num", lambda: [F.Binarizer(threshold=1.0, inputCol="f1", outputCol="b"), VA("b", "vec"), KM()], loose=["b"])
stage("x_asm_keep", lambda: [F.VectorSizeHint(inputCol="vec", size=3), VA("f1", "vec", handleInvalid="keep"), KM()], (2, 4))
stage("x_asm_one", lambda: [VA("f1"), R.LinearRegression(maxIter=1, labelCol="pos")], loose=["f1"])
stage("x_asm_repeat", lambda: [VA("f1", "f1", "vec"), KM()])
stage("x_idf", lambda: [F.HashingTF(inputCol="words", outputCol="tf", numFeatures=10, binary=True), F.IDF(inputCol="tf", outputCol="t2", minDocFreq=1), VA("t2", "f1"), KM()])
stage("x_w2v", lambda: [F.Word2Vec(vectorSize=5, minCount=0, inputCol="words", outputCol="w"), F.Normalizer(inputCol="w", outputCol="features"), KM()])
stage("x_lsh", lambda: [VA("f1", "vec"), F.BucketedRandomProjectionLSH(bucketLength=1.0, numHashTables=2, inputCol="features", outputCol="h")], (2, 2))
stage("x_minhash", lambda: [F.HashingTF(inputCol="words", outputCol="tf", numFeatures=12), F.MinHashLSH(numHashTables=3, inputCol="tf", outputCol="h")], (2, 2))
stage("x_imputer", lambda: [F.Imputer(inputCols=["f1", "f3", "fl"], outputCols=["a", "b", "c"], strategy="median"), VA("a", "b", "c"), KM()], (2, 2), loose=["a", "b", "c"])
stage("x_imputer_mode", lambda: F.Imputer(inputCols=["n"], outputCols=["a"], strategy="mode"), (3, 1), loose=["a"])
stage("x_hasher", lambda: [F.FeatureHasher(inputCols=["f1", "city", "flag"], outputCol="h", numFeatures=16, categoricalCols=["f1"]), VA("h", "pos"), KM()], (2, 3))
stage("x_univ_fpr", lambda: [F.UnivariateFeatureSelector(featuresCol="vec5", outputCol="s", labelCol="label3", selectionMode="percentile")
                             .setFeatureType("continuous").setLabelType("categorical").setSelectionThreshold(0.6), KM(featuresCol="s")], (3, 1))
stage("x_var_pipe", lambda: [VA("f1", "vec", to="a"), F.VarianceThresholdSelector(featuresCol="a", outputCol="s"), KM(featuresCol="s")], (3, 1), loose=["a"])
stage("x_chisq_fpr", lambda: F.ChiSqSelector(selectorType="percentile", percentile=0.5, featuresCol="vec5", outputCol="s"), (2, 2))
stage("x_robust", lambda: [VA("f1", "vec", to="a"), F.RobustScaler(inputCol="a", outputCol="r", withCentering=True), KM(featuresCol="r")], (3, 0))
stage("x_vi", lambda: [F.VectorIndexer(inputCol="vec5", outputCol="iv", maxCategories=4, handleInvalid="keep"), C.RandomForestClassifier(featuresCol="iv", numTrees=2, maxDepth=2)], (2, 3))
stage("x_regex", lambda: [F.RegexTokenizer(inputCol="text", outputCol="t", gaps=False, pattern="\\w+", minTokenLength=2), F.CountVectorizer(inputCol="t", outputCol="c"), KM(featuresCol="c")])
stage("x_stop_multi", lambda: [F.StopWordsRemover(inputCols=["words", "items"], outputCols=["a", "b"]), F.HashingTF(inputCol="a", outputCol="h", numFeatures=4),
                               F.CountVectorizer(inputCol="b", outputCol="c"), VA("h", "c"), KM()], (3, 0))

# Models with columns of other names.
NAMED = dict(predictionCol="p", rawPredictionCol="r", probabilityCol="pr", featuresCol="vec")
stage("x_lr_names", lambda: LR(labelCol="label3", thresholds=[0.2, 0.3, 0.5], family="multinomial", **NAMED))
stage("x_rf_names", lambda: C.RandomForestClassifier(numTrees=3, maxDepth=2, labelCol="label3", leafCol="lf", **NAMED), (3, 0))
stage("x_gbt_names", lambda: C.GBTClassifier(maxIter=3, maxDepth=2, leafCol="lf", featuresCol="vec", predictionCol="p")
      .setRawPredictionCol("r").setProbabilityCol("pr"), (3, 0))
stage("x_nb_compl", lambda: C.NaiveBayes(labelCol="label3", modelType="complement", **NAMED), (3, 0))
stage("x_nb_bern", lambda: [F.Binarizer(threshold=0.5, inputCol="vec", outputCol="b"), C.NaiveBayes(modelType="bernoulli", featuresCol="b")])
stage("x_mlp_names", lambda: C.MultilayerPerceptronClassifier(maxIter=1, layers=[3, 2], **NAMED), (2, 3))
stage("x_fm_names", lambda: C.FMClassifier(maxIter=1, **NAMED), (3, 0))
stage("x_svc_names", lambda: C.LinearSVC(maxIter=1, predictionCol="p", rawPredictionCol="r", featuresCol="vec"), (2, 2))
stage("x_ovr_svc", lambda: C.OneVsRest(classifier=C.LinearSVC(maxIter=1), labelCol="label3", featuresCol="vec", predictionCol="p", rawPredictionCol="rr"), (3, 0))
stage("x_ovr_noraw", lambda: C.OneVsRest(classifier=LR(), labelCol="label3", featuresCol="vec", rawPredictionCol=""), (3, 0))
stage("x_ovr_pipe", lambda: [VA("f1", "vec"), C.OneVsRest(classifier=C.NaiveBayes(), labelCol="label3")], (3, 0))
stage("x_lda_online", lambda: K.LDA(k=2, maxIter=1, featuresCol="vec5", topicDistributionCol="td"))
stage("x_lda_em_pipe", lambda: [F.CountVectorizer(inputCol="words", outputCol="c"), K.LDA(k=4, maxIter=1, featuresCol="c", optimizer="em")])
stage("x_gmm_names", lambda: K.GaussianMixture(k=3, maxIter=1, featuresCol="vec", predictionCol="p", probabilityCol="q"))
stage("x_gmm_pipe", lambda: [VA("f1", "vec"), K.GaussianMixture(k=2, maxIter=1)])
stage("x_bis_names", lambda: K.BisectingKMeans(k=3, maxIter=1, featuresCol="vec5", predictionCol="c"))
stage("x_kmeans_cos", lambda: K.KMeans(k=3, maxIter=1, featuresCol="vec", distanceMeasure="cosine", predictionCol="c"), (2, 4))
stage("x_als_names", lambda: A.ALS(rank=3, maxIter=1, userCol="user", itemCol="item", ratingCol="rating", coldStartStrategy="drop").setPredictionCol("stars"), (2, 2))
stage("x_als_pipe", lambda: [SI("city", "u"), SI("grp", "i"), A.ALS(rank=2, maxIter=1, userCol="u", itemCol="i", ratingCol="rating")])
stage("x_als_default", lambda: A.ALS(rank=2, maxIter=1))
stage("x_fp_names", lambda: P.FPGrowth(itemsCol="words", minSupport=0.2, predictionCol="next"), (2, 2))
stage("x_fp_pipe", lambda: [F.Tokenizer(inputCol="city", outputCol="items2"), P.FPGrowth(itemsCol="items2", minSupport=0.1)], (2, 2))
stage("x_aft", lambda: [VA("f1", "vec"), R.AFTSurvivalRegression(maxIter=1, labelCol="rating", censorCol="label", quantilesCol="qq")])
stage("x_glr_off", lambda: R.GeneralizedLinearRegression(maxIter=1, family="poisson", link="log", labelCol="pos", offsetCol="f3", weightCol="censor",
                                                         linkPredictionCol="l", predictionCol="p", featuresCol="vec"), (2, 3))
stage("x_glr_tweedie", lambda: R.GeneralizedLinearRegression(maxIter=1, family="tweedie", variancePower=1.5, labelCol="f1", featuresCol="vec"), (2, 2))
stage("x_iso_pipe", lambda: [R.LinearRegression(maxIter=1, featuresCol="vec", labelCol="f1", predictionCol="lp"), R.IsotonicRegression(featuresCol="lp", labelCol="f1", predictionCol="ip")])
stage("x_iso_dec", lambda: R.IsotonicRegression(labelCol="f1", featuresCol="f3", isotonic=False, weightCol="censor"), (3, 0))
stage("x_iso_back", lambda: [VA("f1", "f3"), R.IsotonicRegression(labelCol="pos", featureIndex=1)], loose=["features"])
stage("x_dtr_var", lambda: [VA("f1", "vec"), R.DecisionTreeRegressor(maxDepth=2, labelCol="pos", varianceCol="vv", leafCol="ll")], (3, 0))
stage("x_rfr_leaf", lambda: [VA("f1", "vec"), R.RandomForestRegressor(numTrees=4, maxDepth=2, labelCol="pos", leafCol="ll")], (3, 0))
stage("x_huber", lambda: R.LinearRegression(maxIter=1, loss="huber", labelCol="f1", featuresCol="vec", standardization=False), (2, 3))
stage("x_fmr_names", lambda: R.FMRegressor(maxIter=1, factorSize=3, labelCol="f1", featuresCol="vec5", predictionCol="p"), (3, 0))
stage("x_two", lambda: [VA("f1", "vec"), LR(predictionCol="p1", rawPredictionCol="r1", probabilityCol="q1"), VA("q1", "f3", to="g2"),
                        C.DecisionTreeClassifier(maxDepth=2, featuresCol="g2")])
stage("x_stack", lambda: [C.GBTClassifier(maxIter=1, maxDepth=1, featuresCol="vec", predictionCol="p1").setRawPredictionCol("r1").setProbabilityCol("q1"),
                          VA("r1", "q1", "p1"), C.MultilayerPerceptronClassifier(maxIter=1, layers=[5, 2])])
stage("x_km_onehot", lambda: [KM(featuresCol="vec", predictionCol="c"), F.OneHotEncoder(inputCols=["c"], outputCols=["cv"]), VA("cv", "f1"), LR()], (3, 0))
stage("x_label_index", lambda: [SI("species", "label_i"), VA("f1", "vec"), C.RandomForestClassifier(numTrees=2, maxDepth=1, labelCol="label_i", predictionCol="pi"),
                                F.IndexToString(inputCol="pi", outputCol="named", labels=["a", "b"])])
stage("x_quant", lambda: [F.QuantileDiscretizer(numBuckets=4, inputCol="f1", outputCol="q", handleInvalid="keep"), F.OneHotEncoder(inputCols=["q"], outputCols=["qv"]), VA("qv", "f3"), KM()], (3, 0))
stage("x_buck_multi", lambda: [F.Bucketizer(splitsArray=[[-1e9, 0.0, 1e9], [-1e9, 1.0, 2.0, 1e9]], inputCols=["f1", "f3"], outputCols=["a", "b"], handleInvalid="keep"), VA("a", "b"), KM()], (3, 0))
stage("x_deep", lambda: [Pipeline(stages=[Pipeline(stages=[Pipeline(stages=[SI("city", "ci")]), VA("ci", "vec", to="a")])]), Pipeline(stages=[F.StandardScaler(inputCol="a", outputCol="b")]), KM(featuresCol="b")])
stage("x_empty_inner", lambda: [Pipeline(stages=[]), KM(featuresCol="vec")])


def tune(kind, pipe, last, evaluator=None, **more):
    grid = T.ParamGridBuilder().addGrid(last.maxIter, [1, 2]).build()
    return kind(estimator=pipe, estimatorParamMaps=grid, evaluator=evaluator or E.RegressionEvaluator(labelCol="pos"), **more)


def tuned_lin(kind, **more):
    lin = R.LinearRegression(labelCol="pos")
    return tune(kind, Pipeline(stages=[VA("f1", "vec"), lin]), lin, **more)


def tuned_bare(kind, **more):
    lin = R.LinearRegression(labelCol="pos", featuresCol="vec")
    return tune(kind, lin, lin, **more)


stage("x_cv_lin", lambda: tuned_lin(T.CrossValidator, numFolds=2), (2, 3))
stage("x_tvs_bare", lambda: tuned_bare(T.TrainValidationSplit, trainRatio=0.7), (2, 3))
stage("x_cv_cv", lambda: [tuned_bare(T.TrainValidationSplit), VA("prediction", "f1"), KM(predictionCol="kp")], (2, 3))
stage("x_cv_in_cv", lambda: T.CrossValidator(estimator=Pipeline(stages=[SI("city", "ci"), tuned_lin(T.TrainValidationSplit)]), estimatorParamMaps=[{}],
                                             evaluator=E.RegressionEvaluator(labelCol="pos"), numFolds=2), (3, 0))


def packed(out, names, pack):
    conf = spark._jsc.hadoopConfiguration()
    for key, value in PACKS[pack].items():
        spark.conf.set(key, value) if key.startswith("spark.") else conf.set(key, value)
    for name in names:
        f, more = CASES[name]
        CASES[name + "_" + pack] = (f, more)
        yield name + "_" + pack


if __name__ == "__main__":
    args = sys.argv[2:]
    if "--pack" in args:
        at = args.index("--pack")
        pack, names = args[at + 1], args[:at] + args[at + 2:]
        sys.argv[2:] = list(packed(sys.argv[1], names or ["x_labels"], pack))
    elif not args:
        sys.argv[2:] = [n for n in CASES if n.startswith("x_")]
    base.main()
    spark.stop()
