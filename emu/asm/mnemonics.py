"""Names of instructions, for messages about names that are none. The SDM, vol. 2, has them all."""

from typing import Final

from emu.asm import tables


def _words(text: str) -> list[str]:
    return text.split()


_GENERAL: Final = _words(
    "mov movzx movsx movsxd movabs lea push pop pushfq popfq xchg xadd cmpxchg cmpxchg8b cmpxchg16b bswap add "
    "adc sub sbb and or xor not neg inc dec mul imul div idiv cmp test shl shr sar sal rol ror rcl rcr shld "
    "shrd bt bts btr btc bsf bsr popcnt lzcnt tzcnt ret leave enter nop hlt int int3 syscall sysret sysenter "
    "cpuid rdtsc rdtscp rdrand rdseed ud2 pause cld std clc stc cmc lahf sahf cbw cwd cwde cdq cdqe cqo movsb "
    "movsw movsd movsq stosb stosw stosd stosq lodsb lodsw lodsd lodsq scasb scasw scasd scasq cmpsb cmpsw "
    "cmpsd cmpsq mfence lfence sfence clflush in out endbr64 xlatb movnti movbe crc32 rdfsbase wrfsbase "
    "rdgsbase wrgsbase xgetbv"
)
_SSE: Final = _words(
    "movaps movups movapd movupd movdqa movdqu movss movd movq movhlps movlhps movmskps movmskpd movntps "
    "movntdq addps addpd addss addsd subps subpd subss subsd mulps mulpd mulss mulsd divps divpd divss divsd "
    "sqrtps sqrtpd sqrtss sqrtsd minps minpd minss minsd maxps maxpd maxss maxsd andps andpd orps orpd xorps "
    "xorpd cmpps cmppd cmpss ucomiss ucomisd comiss comisd cvtsi2sd cvtsi2ss cvttsd2si cvttss2si cvtsd2si "
    "cvtss2si cvtss2sd cvtsd2ss shufps shufpd unpcklps unpckhps pxor por pand pandn paddb paddw paddd paddq "
    "psubb psubw psubd psubq pmulld pmuludq pcmpeqb pcmpeqw pcmpeqd pmovmskb pshufd pshufb psllq psrlq pslld "
    "psrld emms ldmxcsr stmxcsr fld fst fstp fild fistp fadd fsub fmul fdiv fxch fchs fabs fsqrt fninit fldz "
    "fld1 fldpi fcomip fsin fcos"
)

#: Instructions people write.
COMMON: Final = frozenset(
    [*_GENERAL, *_SSE, *tables.BRANCHES, *tables.PREFIXES]
    + [f"{kind}{condition}" for kind in ("set", "cmov") for condition in tables.CONDITIONS]
)
#: How many operands the general ones take.
OPERANDS: Final[dict[str, tuple[int, ...]]] = {
    **dict.fromkeys(
        _words(
            "mov add sub adc sbb and or xor cmp test lea movzx movsx movsxd xchg xadd cmpxchg bt bts btr btc bsf bsr "
            "popcnt lzcnt tzcnt movaps movups movdqa movdqu"
        ),
        (2,),
    ),
    **dict.fromkeys(_words("inc dec neg not mul div idiv push pop bswap call jmp int"), (1,)),
    **dict.fromkeys(_words("syscall nop leave cqo cdq cdqe hlt cpuid rdtsc ud2 pause cld std clc stc mfence"), (0,)),
    **dict.fromkeys(_words("shl sal shr sar rol ror rcl rcr"), (1, 2)),
    **dict.fromkeys((f"set{condition}" for condition in tables.CONDITIONS), (1,)),
    **dict.fromkeys((f"cmov{condition}" for condition in tables.CONDITIONS), (2,)),
    **dict.fromkeys((name for name in tables.BRANCHES if name != "xbegin"), (1,)),
    "imul": (1, 2, 3), "ret": (0, 1), "shld": (3,), "shrd": (3,), "enter": (2,), "in": (2,), "out": (2,), "nop": (0, 1),
}  # fmt: skip
#: Instructions that stand alone on a line (SDM vol. 2).
ALONE: Final = frozenset(
    _words(
        "nop ret retf retn hlt int1 int3 iret iretd iretq syscall sysret sysretq sysenter sysexit leave cpuid "
        "rdtsc rdtscp rdpmc ud2 pause cld std clc stc cmc cli sti lahf sahf cbw cwd cwde cdq cdqe cqo movsb movsw "
        "movsd movsq stosb stosw stosd stosq lodsb lodsw lodsd lodsq scasb scasw scasd scasq cmpsb cmpsw cmpsd "
        "cmpsq insb insw insd outsb outsw outsd mfence lfence sfence endbr64 endbr32 xlatb pushf pushfq popf "
        "popfq emms fninit finit fwait wait fnclex fclex fldz fld1 fldpi fldl2e fldl2t fldlg2 fldln2 fsin fcos "
        "fsincos fptan fpatan fsqrt fabs fchs fxch faddp fsubp fsubrp fmulp fdivp fdivrp fcomp fcompp fcom fucom "
        "fucomp fucompp ftst fxam frndint fscale f2xm1 fyl2x fyl2xp1 fprem fprem1 fxtract fnop fdecstp fincstp "
        "xgetbv xsetbv rdmsr wrmsr swapgs invd wbinvd clts monitor mwait vzeroupper vzeroall enclu getsec rsm "
        "xend xtest clac stac serialize icebp"
    )
)
