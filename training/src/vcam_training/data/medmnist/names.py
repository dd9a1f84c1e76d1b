"""What the classes of the MedMNIST data sets are called.

J. Yang et al., MedMNIST v2: a large-scale lightweight benchmark for 2D and 3D biomedical
image classification, Scientific Data 10 (2023), in the order of its labels.
"""

_ORGANS_2D = (
    "bladder",
    "femur, left",
    "femur, right",
    "heart",
    "kidney, left",
    "kidney, right",
    "liver",
    "lung, left",
    "lung, right",
    "pancreas",
    "spleen",
)
NAMES = {
    "pathmnist": (
        "adipose",
        "background",
        "debris",
        "lymphocytes",
        "mucus",
        "smooth muscle",
        "normal colon mucosa",
        "cancer-associated stroma",
        "colorectal adenocarcinoma epithelium",
    ),
    "chestmnist": (
        "atelectasis",
        "cardiomegaly",
        "effusion",
        "infiltration",
        "mass",
        "nodule",
        "pneumonia",
        "pneumothorax",
        "consolidation",
        "edema",
        "emphysema",
        "fibrosis",
        "pleural",
        "hernia",
    ),
    "dermamnist": (
        "actinic keratoses and intraepithelial carcinoma",
        "basal cell carcinoma",
        "benign keratosis-like lesions",
        "dermatofibroma",
        "melanoma",
        "melanocytic nevi",
        "vascular lesions",
    ),
    "octmnist": (
        "choroidal neovascularization",
        "diabetic macular edema",
        "drusen",
        "normal",
    ),
    "pneumoniamnist": ("normal", "pneumonia"),
    "retinamnist": ("grade 0", "grade 1", "grade 2", "grade 3", "grade 4"),
    "breastmnist": ("malignant", "normal or benign"),
    "bloodmnist": (
        "basophil",
        "eosinophil",
        "erythroblast",
        "immature granulocyte",
        "lymphocyte",
        "monocyte",
        "neutrophil",
        "platelet",
    ),
    "tissuemnist": (
        "collecting duct, connecting tubule",
        "distal convoluted tubule",
        "glomerular endothelial cell",
        "interstitial endothelial cell",
        "leukocyte",
        "podocyte",
        "proximal tubule segment",
        "thick ascending limb",
    ),
    "organamnist": _ORGANS_2D,
    "organcmnist": _ORGANS_2D,
    "organsmnist": _ORGANS_2D,
    "organmnist3d": (
        "liver",
        "kidney, right",
        "kidney, left",
        "femur, right",
        "femur, left",
        "bladder",
        "heart",
        "lung, right",
        "lung, left",
        "spleen",
        "pancreas",
    ),
    "nodulemnist3d": ("benign", "malignant"),
    "adrenalmnist3d": ("normal", "mass"),
    "fracturemnist3d": (
        "buckle rib fracture",
        "nondisplaced rib fracture",
        "displaced rib fracture",
    ),
    "vesselmnist3d": ("vessel", "aneurysm"),
    "synapsemnist3d": ("inhibitory synapse", "excitatory synapse"),
}
"""By the name of the data set, as its files begin: adrenalmnist3d_64.npz."""


def known_names(stem: str) -> tuple[str, ...]:
    """The names that a file's labels have by its own name; none of files that are not known.

    Args:
        stem: of the file's name.
    """
    return next((NAMES[name] for name in NAMES if stem.lower().startswith(name)), ())
