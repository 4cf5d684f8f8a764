"""Writes models of TensorFlow Lite, `tflite/made_*`, table by table; their truth is what the interpreter tells.

Python 3.11: ai-edge-litert==2.3.0 flatbuffers==25.12.19. Run from this folder's parent:

    python make/tflite.py
"""
import os,sys,json,numpy as np,flatbuffers
from ai_edge_litert import schema_py_generated as S
from ai_edge_litert.interpreter import Interpreter
OUT='tflite'
T={np.dtype('float32'):'float32'}
def tensor(name,shape,typ=0,sig=None,quant=None,has_rank=False,buf=0):
    t=S.TensorT(); t.name=name; t.shape=shape; t.type=typ; t.buffer=buf; t.shapeSignature=sig; t.hasRank=has_rank
    if quant: q=S.QuantizationParametersT(); q.scale,q.zeroPoint=[quant[0]],[quant[1]]; t.quantization=q
    return t
def graph(tensors,ins,outs,name=None):
    g=S.SubGraphT(); g.tensors=tensors; g.inputs=ins; g.outputs=outs; g.operators=[]; g.name=name; return g
def sig(key,ins,outs,sub):
    s=S.SignatureDefT(); s.signatureKey=key; s.subgraphIndex=sub
    def m(d):
        r=[]
        for k,v in d: x=S.TensorMapT(); x.name=k; x.tensorIndex=v; r.append(x)
        return r
    s.inputs=m(ins); s.outputs=m(outs); return s
def write(id,graphs,sigs=None,desc='made',meta=None,behind=b'',more={}):
    m=S.ModelT(); m.version=3; m.operatorCodes=[]; m.subgraphs=graphs; m.description=desc; b=S.BufferT(); m.buffers=[b]; m.signatureDefs=sigs
    if meta:
        m.metadata=[]
        for k,v in meta:
            b=S.BufferT(); b.data=np.frombuffer(v,dtype=np.uint8); m.buffers.append(b); x=S.MetadataT(); x.name=k; x.buffer=len(m.buffers)-1; m.metadata.append(x)
    B=flatbuffers.Builder(1024); B.Finish(m.Pack(B),b'TFL3'); data=bytes(B.Output())+behind
    d=os.path.join(OUT,id); os.makedirs(d,exist_ok=True); open(d+'/model.tflite','wb').write(data)
    i=Interpreter(model_content=data)
    def det(x):
        dt=np.dtype(x['dtype']).name if x['dtype'] not in (np.bytes_,) else 'string'
        s=x['shape_signature'] if len(x['shape_signature']) else x['shape']
        return dt,[None if v<0 else int(v) for v in s]
    out=[]; all=i.get_signature_list()
    if all:
        for k in all:
            r=i.get_signature_runner(k); 
            out.append({'name':k,'inputs':[dict(zip(('dtype','shape'),det(v)),name=n) for n,v in r.get_input_details().items()],'outputs':[dict(zip(('dtype','shape'),det(v)),name=n) for n,v in r.get_output_details().items()]})
    else: out.append({'name':None,'inputs':[dict(zip(('dtype','shape'),det(v)),name=v['name']) for v in i.get_input_details()],'outputs':[dict(zip(('dtype','shape'),det(v)),name=v['name']) for v in i.get_output_details()]})
    facts={'tflite.version':3,'tflite.description':desc}
    q={}
    for v in (i.get_input_details()+i.get_output_details()):
        if v['quantization'][0] and not all: q[v['name']]={'scale':float(v['quantization'][0]),'zero_point':int(v['quantization'][1])}
    if q: facts['tflite.quantization']=q
    facts.update(more)
    json.dump({'id':id,'format':'tflite','framework':'tflite','path':f'tflite/{id}/model.tflite','expect':'ok','signatures':out,'facts':facts,'findings':[],'determinable':{k:'stored' for k in('format','signatures','inputs.name','inputs.dtype','inputs.shape','outputs.name','outputs.dtype','outputs.shape')}},open(d+'/truth.json','w'),indent=1)
def described():
    """TFLite Model Metadata (`M001`), slot by slot: a name, one input, one output with two files of labels."""
    b=flatbuffers.Builder(256); text=b.CreateString
    def table(*fields):
        b.StartObject(1+max(i for i,_ in fields))
        for i,v in fields: (b.PrependInt8Slot if isinstance(v,bool) else b.PrependUOffsetTRelativeSlot)(i,2 if v is True else v,0)
        return b.EndObject()
    def vector(*items):
        b.StartVector(4,len(items),4)
        for x in reversed(items): b.PrependUOffsetTRelative(x)
        return b.EndVector()
    files=[table((0,text('labels.txt')),(2,True)),table((0,text('labels_de.txt')),(2,True),(3,text('de')))]
    i=table((0,text('numbers')),(1,text('Two numbers.'))); o=table((0,text('probability')),(6,vector(*files)))
    g=table((2,vector(i)),(3,vector(o))); m=table((0,text('classifier')),(1,text('made')),(2,text('v1')),(3,vector(g)),(4,text('floe')),(5,text('Apache-2.0')))
    b.Finish(m,b'M001'); return bytes(b.Output())
def archive(**files):
    import io,zipfile
    out=io.BytesIO()
    with zipfile.ZipFile(out,'w') as z:
        for n,v in files.items(): z.writestr(zipfile.ZipInfo(n.replace('__','.')),v)
    return out.getvalue()
t=tensor
write('made_two_signatures',[graph([t('g/a',[1,4],0,[-1,4]),t('g/b',[1,2],2)],[0,1],[0,1]),graph([t('h/x',[3],4)],[0],[0])],[sig('serving_default',[('a',0),('b',1)],[('out',0)],0),sig('encode',[('x',0)],[('y',0)],1)])
write('made_no_signature',[graph([t('x',[1,2,3],9,None,(0.5,-3)),t('y',[2],3,None,(0.25,7))],[0],[0,1])])
write('made_types',[graph([t(f't{i}',[2],i) for i in (0,1,2,3,4,5,6,7,8,9,10,15,16)],list(range(13)),list(range(13)))])
write('made_scalar',[graph([t('s',[],0,None,None,True),t('v',[1],0,[-1])],[0,1],[0,1])])
write('made_metadata',[graph([t('x',[1,2])],[0],[0])],meta=[('min_runtime_version',b'1.5.0'.ljust(16,b'\0'))])
write('made_labels',[graph([t('x',[1,2])],[0],[0])],meta=[('TFLITE_METADATA',described())],behind=archive(labels__txt='cat\ndog\n',labels_de__txt='Katze\nHund\n'),more={'tflite.model.name':'classifier','tflite.model.description':'made','tflite.model.version':'v1','tflite.model.author':'floe','tflite.model.license':'Apache-2.0','tflite.associatedFiles':['labels.txt','labels_de.txt'],
    'tflite.inputs':[{'name':'numbers','description':'Two numbers.'}],'tflite.outputs':[{'name':'probability','labels':['cat','dog'],'labels.de':['Katze','Hund'],'files':[{'name':'labels.txt','type':'axis labels'},{'name':'labels_de.txt','type':'axis labels'}]}]})
