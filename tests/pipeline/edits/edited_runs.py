"""Edits of every kind, by name, whose runs several tests look at."""

TOLERANCE = 1e-5  # relative, float32


NOISE = "noise:site=mlp_post,layer=1,neurons=::2,mean=3,std=1,seed=4"


EDITS = {
    "skip first": ["skip:layer=0"],
    "skip": ["skip:layer=1"],
    "skip last": ["skip:layer=2"],
    "scale layer": ["scale:layer=1,factor=0.5"],
    "scale embeddings": ["scale:site=resid,depth=0,factor=1.5"],
    "scale some dimensions": ["scale:layer=0,dims=3:9,factor=-2"],
    "scale site": ["scale:site=mlp_out,layer=1,factor=0"],
    "zero head of q": ["zero:site=q,layer=1,head=3"],
    "zero head of k": ["zero:site=k,layer=0,head=2"],
    "zero head of v": ["zero:site=v,layer=2,head=4"],
    "zero head of z": ["zero:site=z,layer=1,head=2"],
    "zero site": ["zero:site=attn_out,layer=2"],
    "zero mlp_pre": ["zero:site=mlp_pre,layer=1,neurons=0+5+43"],
    "final norm": ["scale:site=final_norm,factor=2"],
    "noise": [NOISE],
    "noise in a head": ["noise:site=v,layer=1,head=0,mean=0,std=2,seed=1"],
    "several": [
        "skip:layer=1",
        "scale:layer=0,factor=0.5",
        "zero:site=k,layer=2,head=1",
        "scale:layer=2,factor=3",
    ],
    "one target": [
        "scale:layer=1,factor=2",
        "noise:site=resid,depth=2,dims=1:4,mean=1,std=1,seed=0",
    ],
}
