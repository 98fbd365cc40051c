"""Models of ai.onnx.ml as scikit-learn's and its friends' converters write them, and of strings."""
import pathlib

import numpy as np
import onnxruntime
from onnx import TensorProto as T
from onnx import helper as h

rng = np.random.default_rng(11)
ROWS = 7


def value(name, dtype, shape):
    return h.make_tensor_value_info(name, dtype, shape)


def strings(*values):
    return np.array(values, object)


def model(nodes, inputs, outputs, ml=3, opset=17, initializers=()):
    graph = h.make_graph(nodes, "made", inputs, outputs, initializer=list(initializers))
    return h.make_model(graph, ir_version=8, opset_imports=[h.make_opsetid("", opset), h.make_opsetid("ai.onnx.ml", ml)])


def one(op, inputs, outputs, ml=3, opset=17, domain="ai.onnx.ml", **attributes):
    """A model of one node; `inputs` and `outputs` are (type, shape) by name."""
    node = h.make_node(op, list(inputs), list(outputs), domain=domain, **attributes)
    return model([node], [value(n, *t) for n, t in inputs.items()], [value(n, *t) for n, t in outputs.items()], ml, opset)


def floats(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def numbers(*shape):
    return [float(x) for x in floats(*shape).ravel()]


def two_batches(name, width, dtype=np.float32):
    return [{name: (3 * floats(rows, width)).astype(dtype)} for rows in (1, ROWS)]


X = {"x": (T.FLOAT, ["N", 4])}
SCORES = {"label": (T.INT64, ["N"]), "scores": (T.FLOAT, None)}
NAMED = {"label": (T.STRING, ["N"]), "scores": (T.FLOAT, None)}


def linear():
    for transform in ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"):
        yield f"linear_classifier_{transform.lower()}", one(
            "LinearClassifier", X, SCORES, coefficients=numbers(3, 4), intercepts=numbers(3), classlabels_ints=[3, 5, 9], post_transform=transform
        ), two_batches("x", 4)
    yield "linear_classifier_binary_strings", one(
        "LinearClassifier", X, NAMED, coefficients=numbers(2, 4), intercepts=numbers(2), classlabels_strings=["no", "yes"], post_transform="LOGISTIC"
    ), two_batches("x", 4)
    yield "linear_classifier_one_score", one(
        "LinearClassifier", X, SCORES, coefficients=numbers(1, 4), intercepts=numbers(1), classlabels_ints=[2, 7]
    ), two_batches("x", 4)
    for dtype, kind in ((np.int64, T.INT64), (np.float64, T.DOUBLE)):
        yield f"linear_classifier_{kind}", one(
            "LinearClassifier", {"x": (kind, ["N", 4])}, SCORES, coefficients=numbers(3, 4), intercepts=numbers(3), classlabels_ints=[0, 1, 2]
        ), two_batches("x", 4, dtype)
    yield "linear_regressor", one(
        "LinearRegressor", X, {"y": (T.FLOAT, ["N", 2])}, coefficients=numbers(2, 4), intercepts=numbers(2), targets=2
    ), two_batches("x", 4)
    yield "linear_regressor_bare", one("LinearRegressor", X, {"y": (T.FLOAT, ["N", 1])}, coefficients=numbers(4)), two_batches("x", 4)
    probit = one("LinearRegressor", X, {"y": (T.FLOAT, ["N", 1])}, coefficients=[0.01] * 4, intercepts=[0.4], post_transform="PROBIT")
    yield "linear_regressor_probit", probit, two_batches("x", 4)


def features():
    y = {"y": (T.FLOAT, ["N", 4])}
    for norm in ("MAX", "L1", "L2"):
        feeds = two_batches("x", 4)
        feeds[1]["x"][2] = 0
        yield f"normalizer_{norm.lower()}", one("Normalizer", X, y, norm=norm), feeds
    yield "scaler", one("Scaler", X, y, offset=numbers(4), scale=numbers(4)), two_batches("x", 4)
    yield "scaler_ints", one("Scaler", {"x": (T.INT64, ["N", 4])}, y, offset=[0.5], scale=[2.0]), two_batches("x", 4, np.int64)
    yield "binarizer", one("Binarizer", X, y, threshold=0.25), two_batches("x", 4)
    holes = two_batches("x", 4)
    holes[1]["x"][1, 2] = np.nan
    holes[1]["x"][3] = np.nan
    yield "imputer_nan", one("Imputer", X, y, imputed_value_floats=numbers(4), replaced_value_float=float("nan")), holes
    yield "imputer_ints", one(
        "Imputer", {"x": (T.INT64, ["N", 4])}, {"y": (T.INT64, ["N", 4])}, imputed_value_int64s=[9], replaced_value_int64=0
    ), two_batches("x", 4, np.int64)
    pick = h.make_tensor("which", T.INT64, [2], [3, 0])
    extract = model(
        [h.make_node("ArrayFeatureExtractor", ["x", "which"], ["y"], domain="ai.onnx.ml")],
        [value("x", *X["x"])], [value("y", T.FLOAT, ["N", 2])], initializers=[pick],
    )
    yield "feature_extractor", extract, two_batches("x", 4)
    both = {"a": (T.FLOAT, ["N", 2]), "b": (T.FLOAT, ["N", 3])}
    vector = one("FeatureVectorizer", both, {"y": (T.FLOAT, ["N", 5])}, inputdimensions=[2, 3])
    yield "feature_vectorizer", vector, [{"a": floats(rows, 2), "b": floats(rows, 3)} for rows in (1, ROWS)]


def labels():
    text, whole = {"x": (T.STRING, ["N"])}, {"x": (T.INT64, ["N"])}
    words = [{"x": strings("b", "a", "zz", "c")}, {"x": strings("c")}]
    some = [{"x": np.array([3, 1, 5, -1], np.int64)}, {"x": np.array([1], np.int64)}]
    keys = dict(keys_strings=["c", "a", "b"])
    yield "encode_text_int", one("LabelEncoder", text, {"y": (T.INT64, ["N"])}, ml=2, **keys, values_int64s=[7, 8, 9], default_int64=-3), words
    yield "encode_text_float", one("LabelEncoder", text, {"y": (T.FLOAT, ["N"])}, ml=2, **keys, values_floats=[0.5, 1.5, 2.5]), words
    yield "encode_text_text", one("LabelEncoder", text, {"y": (T.STRING, ["N"])}, ml=2, **keys, values_strings=["C", "A", "B"]), words
    ints = dict(keys_int64s=[5, 3, 1])
    yield "encode_int_text", one("LabelEncoder", whole, {"y": (T.STRING, ["N"])}, ml=2, **ints, values_strings=["five", "three", "one"]), some
    yield "encode_int_int", one("LabelEncoder", whole, {"y": (T.INT64, ["N"])}, ml=2, **ints, values_int64s=[50, 30, 10]), some
    odd = [{"x": np.array([0.5, np.nan, 2.25, 8], np.float32)}]
    yield "encode_float_float", one(
        "LabelEncoder", {"x": (T.FLOAT, ["N"])}, {"y": (T.FLOAT, ["N"])}, ml=4, keys_floats=[2.25, float("nan"), 0.5], values_floats=[1.0, 2.0, 3.0], default_float=-9.0
    ), odd
    yield "encode_classes", one("LabelEncoder", text, {"y": (T.INT64, ["N"])}, ml=1, classes_strings=["a", "b", "c"], default_int64=-1), words
    yield "category_mapper", one("CategoryMapper", text, {"y": (T.INT64, ["N"])}, ml=1, cats_strings=["a", "b", "c"], cats_int64s=[4, 5, 6]), words
    hot = {"y": (T.FLOAT, ["N", 3])}
    yield "one_hot_text", one("OneHotEncoder", text, hot, ml=1, cats_strings=["b", "a", "c"]), words
    yield "one_hot_ints", one("OneHotEncoder", whole, hot, ml=1, cats_int64s=[1, 3, 5]), some
    zipped = model(
        [
            h.make_node("LinearClassifier", ["x"], ["label", "p"], domain="ai.onnx.ml", coefficients=numbers(3, 4), intercepts=numbers(3), classlabels_strings=["x", "y", "z"], post_transform="SOFTMAX"),
            h.make_node("Normalizer", ["p"], ["n"], domain="ai.onnx.ml", norm="L1"),
            h.make_node("ZipMap", ["n"], ["probabilities"], domain="ai.onnx.ml", classlabels_strings=["x", "y", "z"]),
        ],
        [value("x", *X["x"])],
        [value("label", T.STRING, ["N"]), h.make_value_info("probabilities", h.make_sequence_type_proto(h.make_map_type_proto(T.STRING, h.make_tensor_type_proto(T.FLOAT, []))))],
    )
    yield "zipmap", zipped, two_batches("x", 4)


def tree_nodes(trees, features, depth, leaf, prefix, ids):
    """Attributes of complete trees; leaf(tree, index) gives [(class or target, weight)]."""
    nodes = {k: [] for k in ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids", "missing_value_tracks_true", "hitrates")}
    weights = {k: [] for k in (f"{prefix}_treeids", f"{prefix}_nodeids", ids, f"{prefix}_weights")}
    modes = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
    inner = 2**depth - 1
    for tree in range(trees):
        for node in range(2 * inner + 1):
            is_leaf = node >= inner
            mode = "LEAF" if is_leaf else modes[(tree + node) % (4 if tree % 3 else 6)]
            for key, item in (
                ("treeids", tree), ("nodeids", node), ("featureids", 0 if is_leaf else int(rng.integers(features))), ("modes", mode),
                ("values", 0.0 if is_leaf else float(np.float32(rng.standard_normal()))), ("truenodeids", 0 if is_leaf else 2 * node + 1),
                ("falsenodeids", 0 if is_leaf else 2 * node + 2), ("missing_value_tracks_true", int(node % 2)), ("hitrates", 1.0),
            ):
                nodes[key].append(item)
            for which, weight in leaf(tree, node - inner) if is_leaf else ():
                for key, item in zip(weights, (tree, node, which, float(np.float32(weight)))):
                    weights[key].append(item)
    return {f"nodes_{k}": v for k, v in nodes.items()} | weights


def trees():
    def feeds(width=5, dtype=np.float32):
        result = two_batches("x", width, dtype)
        if dtype != np.int64:
            result[1]["x"][2, 1] = np.nan
        return result

    x = {"x": (T.FLOAT, ["N", 5])}
    classes = lambda count: lambda tree, index: [(c, rng.random()) for c in range(count)]
    for transform in ("NONE", "SOFTMAX", "LOGISTIC"):
        table = tree_nodes(6, 5, 3, classes(3), "class", "class_ids")
        yield f"forest_{transform.lower()}", one("TreeEnsembleClassifier", x, SCORES, classlabels_int64s=[1, 2, 4], post_transform=transform, **table), feeds()
    table = tree_nodes(4, 5, 2, classes(3), "class", "class_ids")
    yield "forest_base_strings", one("TreeEnsembleClassifier", x, NAMED, classlabels_strings=["a", "b", "c"], base_values=[0.1, -0.2, 0.3], **table), feeds()
    one_class = lambda scale, shift: lambda tree, index: [(0, scale * rng.random() + shift)]
    table = tree_nodes(5, 5, 3, one_class(0.2, 0), "class", "class_ids")
    yield "binary_positive", one("TreeEnsembleClassifier", x, SCORES, classlabels_int64s=[0, 1], **table), feeds()
    for transform in ("NONE", "LOGISTIC"):
        table = tree_nodes(5, 5, 3, one_class(2, -1), "class", "class_ids")
        yield f"binary_boosted_{transform.lower()}", one("TreeEnsembleClassifier", x, SCORES, classlabels_int64s=[0, 1], post_transform=transform, **table), feeds()
    table = tree_nodes(5, 5, 3, one_class(2, -1), "class", "class_ids")
    yield "binary_boosted_base", one("TreeEnsembleClassifier", x, SCORES, classlabels_int64s=[0, 1], post_transform="LOGISTIC", base_values=[0.25], **table), feeds()
    for aggregate in ("SUM", "AVERAGE", "MIN", "MAX"):
        table = tree_nodes(5, 5, 3, lambda tree, index: [(0, rng.standard_normal())], "target", "target_ids")
        yield f"regress_{aggregate.lower()}", one("TreeEnsembleRegressor", x, {"y": (T.FLOAT, ["N", 1])}, n_targets=1, aggregate_function=aggregate, **table), feeds()
    table = tree_nodes(5, 5, 3, lambda tree, index: [(t, rng.standard_normal()) for t in range(2)], "target", "target_ids")
    yield "regress_two_base", one("TreeEnsembleRegressor", x, {"y": (T.FLOAT, ["N", 2])}, n_targets=2, base_values=[0.5, -0.5], **table), feeds()
    table = tree_nodes(5, 5, 3, lambda tree, index: [(0, rng.standard_normal())], "target", "target_ids")
    yield "regress_wide_input", one("TreeEnsembleRegressor", {"x": (T.DOUBLE, ["N", 5])}, {"y": (T.FLOAT, ["N", 1])}, n_targets=1, **table), feeds(dtype=np.float64)


def support_vectors():
    vectors = 6
    for kernel, parameters in (("LINEAR", [0.0, 0.0, 0.0]), ("RBF", [0.3, 0.0, 0.0]), ("POLY", [0.5, 1.0, 2.0]), ("SIGMOID", [0.1, 0.2, 0.0])):
        common = dict(kernel_type=kernel, kernel_params=parameters)
        yield f"svm_regress_{kernel.lower()}", one(
            "SVMRegressor", X, {"y": (T.FLOAT, ["N", 1])}, coefficients=numbers(vectors), support_vectors=numbers(vectors, 4), n_supports=vectors, rho=[0.3], **common
        ), two_batches("x", 4)
        yield f"svm_three_{kernel.lower()}", one(
            "SVMClassifier", X, SCORES, coefficients=numbers(2, vectors), support_vectors=numbers(vectors, 4), vectors_per_class=[1, 2, 3], rho=numbers(3), classlabels_ints=[0, 1, 2], **common
        ), two_batches("x", 4)
    rbf = dict(kernel_type="RBF", kernel_params=[0.3, 0.0, 0.0])
    yield "svm_one_class", one(
        "SVMRegressor", X, {"y": (T.FLOAT, ["N", 1])}, coefficients=numbers(vectors), support_vectors=numbers(vectors, 4), n_supports=vectors, rho=[0.1], one_class=1, **rbf
    ), two_batches("x", 4)
    yield "svm_probability", one(
        "SVMClassifier", X, SCORES, coefficients=numbers(2, vectors), support_vectors=numbers(vectors, 4), vectors_per_class=[1, 2, 3], rho=numbers(3), prob_a=[-1.5, -2.0, -1.0], prob_b=[0.1, 0.2, -0.1], classlabels_ints=[0, 1, 2], **rbf
    ), two_batches("x", 4)
    yield "svm_two_probability", one(
        "SVMClassifier", X, NAMED, coefficients=numbers(1, vectors), support_vectors=numbers(vectors, 4), vectors_per_class=[3, 3], rho=numbers(1), prob_a=[-1.5], prob_b=[0.1], classlabels_strings=["a", "b"], **rbf
    ), two_batches("x", 4)
    yield "svm_two", one(
        "SVMClassifier", X, SCORES, coefficients=numbers(1, vectors), support_vectors=numbers(vectors, 4), vectors_per_class=[3, 3], rho=numbers(1), classlabels_ints=[0, 1], **rbf
    ), two_batches("x", 4)
    yield "svm_no_vectors", one("SVMClassifier", X, SCORES, coefficients=numbers(3, 4), rho=[0.2], classlabels_ints=[0, 1, 2], kernel_type="LINEAR", kernel_params=[0.0, 0.0, 0.0]), two_batches("x", 4)


def text():
    words = [{"x": strings("Uber", "the", "CAT", "sat")}, {"x": strings("THE")}]
    plain = {"x": (T.STRING, ["N"])}
    for name, attributes in (
        ("lower", dict(case_change_action="LOWER", is_case_sensitive=0, stopwords=["the"])),
        ("upper", dict(case_change_action="UPPER", is_case_sensitive=1, stopwords=["CAT"])),
        ("keep", dict(is_case_sensitive=1)),
    ):
        yield f"text_{name}", one("StringNormalizer", plain, {"y": (T.STRING, ["M"])}, domain="", locale="C", **attributes), words
    pool = dict(pool_strings=["a", "b", "c", "a", "b", "b", "c"], ngram_counts=[0, 3], ngram_indexes=[0, 1, 2, 3, 4], min_gram_length=1, max_gram_length=2)
    tokens = [{"x": strings(*row)} for row in ("abcab", "c")] + [{"x": strings("q", "b", "c")}]
    for mode in ("TF", "IDF", "TFIDF"):
        yield f"tfidf_{mode.lower()}", one(
            "TfIdfVectorizer", plain, {"y": (T.FLOAT, None)}, domain="", mode=mode, max_skip_count=1, weights=[0.5, 1.5, 2.5, 3.5, 4.5], **pool
        ), tokens
    number = one("Cast", plain, {"y": (T.FLOAT, ["N"])}, domain="", to=T.FLOAT)
    yield "cast_from_text", number, [{"x": strings("1.5", "-2e3", "NaN")}, {"x": strings("7")}]
    yield "cast_to_text", one("Cast", {"x": (T.INT64, ["N"])}, {"y": (T.STRING, ["N"])}, domain="", to=T.STRING), [{"x": np.array([3, -14, 0], np.int64)}]
    equal = one("Equal", {"a": (T.STRING, ["N"]), "b": (T.STRING, [1])}, {"y": (T.BOOL, ["N"])}, domain="", opset=19)
    yield "equal_text", equal, [{"a": strings("x", "y", "x"), "b": strings("x")}, {"a": strings("q"), "b": strings("x")}]


def shipped():
    """The small files in onnxruntime's wheel."""
    folder = pathlib.Path(onnxruntime.__file__).parent / "datasets"
    yield "logreg_iris", folder / "logreg_iris.onnx", [{"float_input": floats(3, 2)}]
    yield "mul_1", folder / "mul_1.onnx", [{"X": floats(3, 2)}]
    yield "sigmoid", folder / "sigmoid.onnx", [{"x": floats(3, 4, 5)}]


def cases():
    for family in (shipped, linear, features, labels, trees, support_vectors, text):
        yield from family()
