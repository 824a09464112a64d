"""Instructions the emulated CPU does not have, so that using one is a message and not an illegal instruction later.

The CPU model is Westmere (2010, see emu.machine.engine): everything up to SSE4.2, AES, PCLMULQDQ and POPCNT runs.
Some of what came later would not even fault there but do something else: lzcnt runs as bsr, tzcnt as bsf.
Source for which instruction belongs to which feature: SDM vol. 1 chapter 5, vol. 2 (CPUID feature flag columns).
"""

from typing import Final

_FEATURES: Final[dict[str, str]] = {
    "BMI1": "andn bextr blsi blsmsk blsr tzcnt",
    "BMI2": "bzhi mulx pdep pext rorx sarx shlx shrx",
    "LZCNT": "lzcnt",
    "ADX": "adcx adox",
    "MOVBE": "movbe",
    "RDRAND": "rdrand",
    "RDSEED": "rdseed",
    "RDPID": "rdpid",
    "SHA": "sha1msg1 sha1msg2 sha1nexte sha1rnds4 sha256msg1 sha256msg2 sha256rnds2",
    "GFNI": "gf2p8affineinvqb gf2p8affineqb gf2p8mulb",
    "XSAVE": "xgetbv xsetbv xsave xsave64 xsavec xsavec64 xsaveopt xsaveopt64 xsaves xsaves64 xrstor xrstor64 xrstors "
    "xrstors64",
    "FSGSBASE": "rdfsbase rdgsbase wrfsbase wrgsbase",
    "PKU": "rdpkru wrpkru",
    "TSX": "xbegin xend xabort xtest xacquire xrelease",
    "MPX": "bndmk bndcl bndcu bndcn bndmov bndldx bndstx",
    "CET": "incsspd incsspq saveprevssp rstorssp wrssd wrssq wrussd wrussq setssbsy clrssbsy",
    "CLWB": "clwb",
    "CLFLUSHOPT": "clflushopt",
    "CLDEMOTE": "cldemote",
    "PREFETCHWT1": "prefetchwt1",
    "SMAP": "clac stac",
    "INVPCID": "invpcid",
    "MOVDIRI": "movdiri movdir64b enqcmd enqcmds",
    "WAITPKG": "tpause umonitor umwait",
    "PTWRITE": "ptwrite",
    "SERIALIZE": "serialize",
    "WBNOINVD": "wbnoinvd",
    "SGX": "encls enclu enclv pconfig",
    "SVM": "clgi stgi invlpga skinit vmload vmmcall vmrun vmsave",
    "CLZERO": "clzero",
    "MONITORX": "monitorx mwaitx",
    "RDPRU": "rdpru",
    "SSE4A": "extrq insertq movntsd movntss",
    "3DNow!": "femms pavgusb pf2id pf2iw pfacc pfadd pfcmpeq pfcmpge pfcmpgt pfmax pfmin pfmul pfnacc pfpnacc pfrcp "
    "pfrcpit1 pfrcpit2 pfrsqit1 pfrsqrt pfsub pfsubr pi2fd pi2fw pmulhrw pswapd",
    "TBM": "blcfill blci blcic blcmsk blcs blsfill blsic t1mskc tzmsk",
    "LWP": "llwpcb slwpcb lwpins lwpval",
    "PadLock": "montmul xcryptcbc xcryptcfb xcryptctr xcryptecb xcryptofb xsha1 xsha256 xstore xstorerng",
    "AMX": "ldtilecfg sttilecfg tileloadd tileloaddt1 tilestored tilerelease tilezero tdpbf16ps tdpbssd tdpbsud "
    "tdpbusd tdpbuud",
    "AVX-512": " ".join(
        f"k{op}{width}"
        for op in ("mov", "and", "andn", "or", "xor", "xnor", "not", "add", "test", "ortest", "shiftl", "shiftr")
        for width in "bwdq"
    )
    + " kunpckbw kunpckwd kunpckdq",
}
_FEATURE_OF: Final = {name: feature for feature, names in _FEATURES.items() for name in names.split()}
#: Mnemonics that start with v and are not AVX: VMX (SDM vol. 3 chapter 31) and the checks of segments.
_OTHER_V: Final = frozenset(
    (
        *("verr", "verw", "vmcall", "vmclear", "vmfunc", "vmlaunch", "vmptrld", "vmptrst", "vmread", "vmresume"),
        *("vmwrite", "vmxoff", "vmxon"),
    )
)
#: What AMD left out of 64-bit mode (SDM vol. 2: "Invalid" in the column 64-bit mode).
_GONE: Final = frozenset(
    ("aaa", "aad", "aam", "aas", "daa", "das", "into", "pusha", "pushad", "popa", "popad", "bound", "salc")
)
_INSTEAD: Final = {"tzcnt": "bsf", "lzcnt": "bsr"}


def missing(name: str) -> str | None:
    """Why the machine cannot run the instruction `name` (small letters), or None if it can."""
    if name in _GONE:
        return f"{name} does not exist in 64-bit code"
    feature = _FEATURE_OF.get(name)
    if feature is None and name[-1:] in ("b", "w", "l", "q"):  # AT&T: andnq
        feature = _FEATURE_OF.get(name[:-1])
    if feature is None and name.startswith("v") and len(name) > 4 and name not in _OTHER_V:
        feature = "AVX"  # and AVX2, FMA, F16C, AVX-512: all their mnemonics begin so
    if feature is None:
        return None
    hint = f"; use {_INSTEAD[name]}, which differs for 0" if name in _INSTEAD else _without_avx(name, feature)
    return f"{feature} is not available in this machine, so {name} cannot run{hint}"


def _without_avx(name: str, feature: str) -> str:
    """The SSE instruction that an AVX one extends."""
    from emu.asm.mnemonics import COMMON  # most programs have no AVX

    return f"; use {name[1:]}" if feature == "AVX" and name[1:] in COMMON else ""
