//go:build ignore

// Signs an artifact in good and bad ways and records what notation-go says of each signature by each trust policy, and of each
// trust policy itself:
//
//	go mod init oracle
//	go get github.com/notaryproject/notation-go/verifier@v1.3.2 github.com/fxamacker/cbor/v2@v2.8.0
//	go run notation.go > notation.json
package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
	_ "github.com/notaryproject/notation-core-go/signature/cose"
	_ "github.com/notaryproject/notation-core-go/signature/jws"
	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/verifier"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/notaryproject/notation-go/verifier/truststore"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	gocose "github.com/veraison/go-cose"
)

const (
	jws         = "application/jose+json"
	cose        = "application/cose"
	payloadType = "application/vnd.cncf.notary.payload.v1+json"
	prefix      = "io.cncf.notary."
	repository  = "registry.example.com/team/app"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

var now = time.Now().UTC().Truncate(time.Second)

func years(n int) time.Time { return now.AddDate(n, 0, 0) }

// A certificate, its key and those above it.
type party struct {
	key   crypto.Signer
	chain []*x509.Certificate
}

func (p party) cert() *x509.Certificate { return p.chain[0] }

var serial int64

func subject(common string) pkix.Name {
	return pkix.Name{Country: []string{"US"}, Province: []string{"WA"}, Organization: []string{"Example"}, CommonName: common}
}

// Issues a certificate; the template is a good one that edit spoils.
func issue(by *party, key crypto.Signer, name pkix.Name, edit func(*x509.Certificate)) party {
	serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: name, NotBefore: years(-10), NotAfter: years(90),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	if edit != nil {
		edit(template)
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert(), by.key
	}
	der := must(x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer))
	chain := []*x509.Certificate{must(x509.ParseCertificate(der))}
	if by != nil {
		chain = append(chain, by.chain...)
	}
	return party{key, chain}
}

func authority(c *x509.Certificate) {
	c.KeyUsage, c.ExtKeyUsage, c.IsCA, c.BasicConstraintsValid = x509.KeyUsageCertSign, nil, true, true
}

func ec(curve elliptic.Curve) crypto.Signer { return must(ecdsa.GenerateKey(curve, rand.Reader)) }
func rsaKey(bits int) crypto.Signer         { return must(rsa.GenerateKey(rand.Reader, bits)) }

var algorithms = map[string]struct {
	hash crypto.Hash
	cose gocose.Algorithm
}{
	"PS256": {crypto.SHA256, gocose.AlgorithmPS256}, "PS384": {crypto.SHA384, gocose.AlgorithmPS384},
	"PS512": {crypto.SHA512, gocose.AlgorithmPS512}, "ES256": {crypto.SHA256, gocose.AlgorithmES256},
	"ES384": {crypto.SHA384, gocose.AlgorithmES384}, "ES512": {crypto.SHA512, gocose.AlgorithmES512},
	"RS256": {crypto.SHA256, gocose.AlgorithmRS256}, "EdDSA": {crypto.Hash(0), gocose.AlgorithmEdDSA},
}

func algorithm(key crypto.Signer) string {
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return map[int]string{1024: "PS256", 2048: "PS256", 3072: "PS384", 4096: "PS512"}[key.N.BitLen()]
	case *ecdsa.PrivateKey:
		return map[int]string{224: "ES256", 256: "ES256", 384: "ES384", 521: "ES512"}[key.Curve.Params().BitSize]
	}
	return "EdDSA"
}

func sign(key crypto.Signer, alg string, message []byte) []byte {
	hash := algorithms[alg].hash
	switch key := key.(type) {
	case *rsa.PrivateKey:
		h := hash.New()
		h.Write(message)
		if alg == "RS256" {
			return must(rsa.SignPKCS1v15(rand.Reader, key, hash, h.Sum(nil)))
		}
		return must(rsa.SignPSS(rand.Reader, key, hash, h.Sum(nil), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}))
	case *ecdsa.PrivateKey:
		h := hash.New()
		h.Write(message)
		r, s, err := ecdsa.Sign(rand.Reader, key, h.Sum(nil))
		must(0, err)
		size := (key.Curve.Params().BitSize + 7) / 8
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	}
	return must(key.Sign(rand.Reader, message, crypto.Hash(0)))
}

// What is signed, and how.
type request struct {
	by       party
	alg      string
	payload  []byte
	headers  map[string]any
	critical []any
	spoil    func(signature []byte) []byte
	// Makes a timestamp of the signature.
	stamp func(signature []byte) []byte
}

type tagged struct{ time.Time }

func good(by party) request {
	return request{
		by: by, alg: algorithm(by.key), payload: payload(target),
		headers: map[string]any{
			"cty": payloadType, prefix + "signingScheme": "notary.x509", prefix + "signingTime": years(-1),
		},
		critical: []any{prefix + "signingScheme"},
	}
}

func (r request) with(edit func(*request)) request {
	headers := map[string]any{}
	for key, value := range r.headers {
		headers[key] = value
	}
	r.headers, r.critical = headers, append([]any{}, r.critical...)
	edit(&r)
	return r
}

func (r request) jws() []byte {
	headers := map[string]any{"alg": r.alg}
	for key, value := range r.headers {
		headers[key] = value
	}
	if r.critical != nil {
		headers["crit"] = r.critical
	}
	encode := base64.RawURLEncoding.EncodeToString
	protected, body := encode(must(json.Marshal(headers))), encode(r.payload)
	signature := sign(r.by.key, r.alg, []byte(protected+"."+body))
	if r.spoil != nil {
		signature = r.spoil(signature)
	}
	var chain [][]byte
	for _, cert := range r.by.chain {
		chain = append(chain, cert.Raw)
	}
	header := map[string]any{"x5c": chain, prefix + "signingAgent": "oracle"}
	if r.stamp != nil {
		header[prefix+"timestampSignature"] = r.stamp(signature)
	}
	return must(json.Marshal(map[string]any{
		"payload": body, "protected": protected, "signature": encode(signature), "header": header,
	}))
}

func (r request) cose() []byte {
	headers := map[any]any{1: algorithms[r.alg].cose}
	for key, value := range r.headers {
		if at, ok := value.(time.Time); ok {
			value = cbor.Tag{Number: 1, Content: at.Unix()}
		}
		if key == "cty" {
			headers[3] = value
		} else {
			headers[key] = value
		}
	}
	if r.critical != nil {
		headers[2] = r.critical
	}
	protected := must(cbor.Marshal(headers))
	message := must(cbor.Marshal([]any{"Signature1", protected, []byte{}, r.payload}))
	signature := sign(r.by.key, r.alg, message)
	if r.spoil != nil {
		signature = r.spoil(signature)
	}
	chain := []any{}
	for _, cert := range r.by.chain {
		chain = append(chain, cert.Raw)
	}
	unprotected := map[any]any{33: chain, prefix + "signingAgent": "oracle"}
	if r.stamp != nil {
		unprotected[prefix+"timestampSignature"] = r.stamp(signature)
	}
	return must(cbor.Marshal(cbor.Tag{Number: 18, Content: []any{protected, unprotected, r.payload, signature}}))
}

var (
	content = []byte(`{"schemaVersion":2}`)
	target  = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(content), Size: int64(len(content))}
)

func payload(of ocispec.Descriptor) []byte {
	return must(json.Marshal(map[string]any{"targetArtifact": of}))
}

// A timestamp (RFC 3161), which is a good one that edit spoils.
type stamp struct {
	by       party
	hash     crypto.Hash
	at       time.Time
	accuracy accuracy
	policy   asn1.ObjectIdentifier
	version  int
	imprint  asn1.ObjectIdentifier
	content  asn1.ObjectIdentifier
	data     int
	// The certificates that it brings; nil are all but the root.
	certs []*x509.Certificate
	// The attribute with the certificate of the signer.
	certID func(*x509.Certificate) any
	signed time.Time
	digest []byte
	// How the signer says that he signs.
	algorithm asn1.ObjectIdentifier
	spoil     func(signature []byte) []byte
	noAttrs   bool
	signers   int
}

type accuracy struct {
	Seconds int `asn1:"optional"`
	Millis  int `asn1:"optional,tag:0"`
	Micros  int `asn1:"optional,tag:1"`
}

type issuerAndSerial struct {
	Issuer asn1.RawValue
	Serial *big.Int
}

type certID struct {
	Hash   pkix.AlgorithmIdentifier `asn1:"optional"`
	Digest []byte
	Number issuerAndSerial `asn1:"optional"`
}

func oid(numbers ...int) asn1.ObjectIdentifier { return numbers }

var hashes = map[crypto.Hash]asn1.ObjectIdentifier{
	crypto.SHA1: oid(1, 3, 14, 3, 2, 26), crypto.SHA256: oid(2, 16, 840, 1, 101, 3, 4, 2, 1),
	crypto.SHA384: oid(2, 16, 840, 1, 101, 3, 4, 2, 2), crypto.SHA512: oid(2, 16, 840, 1, 101, 3, 4, 2, 3),
}

func hashed(hash crypto.Hash, bytes []byte) []byte {
	h := hash.New()
	h.Write(bytes)
	return h.Sum(nil)
}

func tagged0(bytes []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: bytes}
}

// A certificate by its digest, and by its number as well.
func certIDOf(hash crypto.Hash, numbered bool) func(*x509.Certificate) any {
	return func(cert *x509.Certificate) any {
		id := certID{Digest: hashed(hash, cert.Raw)}
		if hash != crypto.SHA256 {
			id.Hash.Algorithm = hashes[hash]
		}
		if numbered {
			name := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: cert.RawIssuer}
			id.Number = issuerAndSerial{asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: must(asn1.Marshal(name))}, cert.SerialNumber}
		}
		return []any{[]any{id}}
	}
}

func (s stamp) token(signature []byte) []byte {
	imprint := struct {
		Algorithm pkix.AlgorithmIdentifier
		Message   []byte
	}{pkix.AlgorithmIdentifier{Algorithm: s.imprint}, hashed(s.hash, signature)}
	info := must(asn1.Marshal(struct {
		Version  int
		Policy   asn1.ObjectIdentifier
		Imprint  any
		Serial   int
		Time     time.Time `asn1:"generalized"`
		Accuracy accuracy  `asn1:"optional"`
	}{s.version, s.policy, imprint, 1, s.at, s.accuracy}))
	digest := hashed(s.hash, info)
	if s.digest != nil {
		digest = s.digest
	}
	type attribute struct {
		Type   asn1.ObjectIdentifier
		Values []any `asn1:"set"`
	}
	attributes := []attribute{{oid(1, 2, 840, 113549, 1, 9, 3), []any{s.content}}, {oid(1, 2, 840, 113549, 1, 9, 4), []any{digest}}}
	if !s.signed.IsZero() {
		attributes = append(attributes, attribute{oid(1, 2, 840, 113549, 1, 9, 5), []any{s.signed}})
	}
	if s.certID != nil {
		attributes = append(attributes, attribute{oid(1, 2, 840, 113549, 1, 9, 16, 2, 47), []any{s.certID(s.by.cert())}})
	}
	set := must(asn1.MarshalWithParams(attributes, "set"))
	var raw asn1.RawValue
	must(asn1.Unmarshal(set, &raw))
	if s.noAttrs {
		set, raw.Bytes = info, nil
	}
	signed := must(s.by.key.Sign(rand.Reader, hashed(s.hash, set), s.hash))
	if s.spoil != nil {
		signed = s.spoil(signed)
	}
	type signer struct {
		Version   int
		Number    issuerAndSerial
		Digest    pkix.AlgorithmIdentifier
		Signed    asn1.RawValue `asn1:"optional"`
		Algorithm pkix.AlgorithmIdentifier
		Signature []byte
	}
	number := issuerAndSerial{asn1.RawValue{FullBytes: s.by.cert().RawIssuer}, s.by.cert().SerialNumber}
	algorithm := func(id asn1.ObjectIdentifier) pkix.AlgorithmIdentifier {
		return pkix.AlgorithmIdentifier{Algorithm: id}
	}
	one := signer{1, number, algorithm(hashes[s.hash]), tagged0(raw.Bytes), algorithm(s.algorithm), signed}
	if s.noAttrs {
		one.Signed = asn1.RawValue{}
	}
	signers := []signer{}
	for range s.signers {
		signers = append(signers, one)
	}
	if s.signers > 1 {
		signers[0].Digest = algorithm(hashes[crypto.SHA1])
	}
	certs := []byte{}
	for _, cert := range s.certs {
		certs = append(certs, cert.Raw...)
	}
	type content struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}
	data := must(asn1.Marshal(struct {
		Version      int
		Digests      []pkix.AlgorithmIdentifier `asn1:"set"`
		Content      content
		Certificates asn1.RawValue
		Signers      []signer `asn1:"set"`
	}{s.data, []pkix.AlgorithmIdentifier{algorithm(hashes[s.hash])}, content{s.content, tagged0(must(asn1.Marshal(info)))}, tagged0(certs), signers}))
	return must(asn1.Marshal(content{oid(1, 2, 840, 113549, 1, 7, 2), tagged0(data)}))
}

// An authority of timestamps.
func stamping(c *x509.Certificate) {
	c.ExtKeyUsage = nil
	c.ExtraExtensions = []pkix.Extension{purposes(true, 8)}
}

// The purposes of PKIX with these numbers.
func purposes(critical bool, numbers ...int) pkix.Extension {
	ids := []asn1.ObjectIdentifier{}
	for _, number := range numbers {
		ids = append(ids, oid(1, 3, 6, 1, 5, 5, 7, 3, number))
	}
	return pkix.Extension{Id: oid(2, 5, 29, 37), Critical: critical, Value: must(asn1.Marshal(ids))}
}

func goodStamp(by party, at time.Time) stamp {
	s := stamp{
		by: by, hash: crypto.SHA256, at: at, policy: oid(1, 2, 3), version: 1, imprint: hashes[crypto.SHA256],
		content: oid(1, 2, 840, 113549, 1, 9, 16, 1, 4), data: 3, certs: by.chain[:max(1, len(by.chain)-1)],
		certID: certIDOf(crypto.SHA256, false), algorithm: oid(1, 2, 840, 10045, 4, 3, 2), signers: 1,
	}
	if _, ok := by.key.(*rsa.PrivateKey); ok {
		s.algorithm = oid(1, 2, 840, 113549, 1, 1, 11)
	}
	return s
}

type envelope struct {
	Name      string `json:"name"`
	MediaType string `json:"mediaType"`
	Content   []byte `json:"-"`
	// The content of JWS, and that of others in base64.
	Text  string `json:"text,omitempty"`
	Bytes []byte `json:"bytes,omitempty"`
	// What is said by each policy: a place in the list of texts.
	Verdicts []int `json:"verdicts"`
}

type policy struct {
	Name         string   `json:"name"`
	Document     string   `json:"document"`
	Certificates []string `json:"certificates"`
}

type document struct {
	Document  string `json:"document"`
	Reference string `json:"reference,omitempty"`
	Error     string `json:"error,omitempty"`
	Statement string `json:"statement,omitempty"`
}

var envelopes []envelope

func add(name, mediaType string, content []byte) {
	envelopes = append(envelopes, envelope{Name: name, MediaType: mediaType, Content: content})
}

func both(name string, r request) {
	add(name+", jws", jws, r.jws())
	add(name+", cose", cose, r.cose())
}

// As source-controller has it: every certificate stands in every trust store.
type store []string

func (s store) GetCertificates(_ context.Context, _ truststore.Type, name string) ([]*x509.Certificate, error) {
	all := []*x509.Certificate{}
	for _, text := range s {
		raw := []byte(text)
		if block, _ := pem.Decode(raw); block != nil {
			raw = block.Bytes
		}
		certs, err := x509.ParseCertificates(raw)
		if err != nil {
			return nil, fmt.Errorf("failed to parse certificate '%s': %s", name, err)
		}
		all = append(all, certs...)
	}
	return all, nil
}

// As source-controller does.
func clean(doc *trustpolicy.Document) {
	for i, statement := range doc.TrustPolicies {
		if statement.SignatureVerification.VerificationLevel == "skip" {
			doc.TrustPolicies[i].TrustStores, doc.TrustPolicies[i].TrustedIdentities = []string{}, []string{}
		}
	}
}

func pemOf(cert *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
}

func statement(level, stores, identities string) string {
	return fmt.Sprintf(`{"version":"1.0","trustPolicies":[{"name":"one","registryScopes":["*"],"signatureVerification":%s,`+
		`"trustStores":[%s],"trustedIdentities":[%s]}]}`, level, stores, identities)
}

func main() {
	root := issue(nil, ec(elliptic.P256()), subject("root"), authority)
	other := issue(nil, ec(elliptic.P256()), subject("other root"), authority)
	middle := issue(&root, ec(elliptic.P384()), subject("middle"), authority)
	leaf := issue(&root, ec(elliptic.P256()), subject("leaf"), nil)
	sign := func(edit func(*x509.Certificate)) request {
		return good(issue(&root, ec(elliptic.P256()), subject("leaf"), edit))
	}
	named := func(name pkix.Name) request { return good(issue(&root, ec(elliptic.P256()), name, nil)) }

	for _, bits := range []int{2048, 3072, 4096} {
		both(fmt.Sprintf("RSA %d", bits), good(issue(&root, rsaKey(bits), subject("leaf"), nil)))
	}
	both("P-256", good(leaf))
	both("P-384", good(issue(&root, ec(elliptic.P384()), subject("leaf"), nil)))
	both("P-521", good(issue(&root, ec(elliptic.P521()), subject("leaf"), nil)))
	both("P-224", good(issue(&root, ec(elliptic.P224()), subject("leaf"), nil)))
	both("RSA 1024", good(issue(&root, rsaKey(1024), subject("leaf"), nil)))
	_, edwards, _ := ed25519.GenerateKey(rand.Reader)
	both("Ed25519", good(issue(&root, edwards, subject("leaf"), nil)))
	short := issue(&root, rsaKey(2048), subject("leaf"), nil)
	both("RSA 2048 with PS512", good(short).with(func(r *request) { r.alg = "PS512" }))
	both("RSA 2048 with RS256", good(short).with(func(r *request) { r.alg = "RS256" }))
	both("alone", good(issue(nil, ec(elliptic.P256()), subject("alone"), nil)))
	both("alone and an authority", good(root))
	both("three certificates", good(issue(&middle, ec(elliptic.P256()), subject("leaf"), nil)))
	both("root by RSA", good(issue(ptr(issue(nil, rsaKey(2048), subject("root"), authority)), ec(elliptic.P256()), subject("leaf"), nil)))
	pss := func(c *x509.Certificate) { authority(c); c.SignatureAlgorithm = x509.SHA384WithRSAPSS }
	pssRoot := issue(nil, rsaKey(2048), subject("root"), pss)
	both("root by RSA-PSS", good(issue(&pssRoot, ec(elliptic.P256()), subject("leaf"), func(c *x509.Certificate) {
		c.SignatureAlgorithm = x509.SHA512WithRSAPSS
	})))
	_, edwardsRoot, _ := ed25519.GenerateKey(rand.Reader)
	both("root by Ed25519", good(issue(ptr(issue(nil, edwardsRoot, subject("root"), authority)), ec(elliptic.P256()), subject("leaf"), nil)))
	both("root by P-521 with SHA-256", good(issue(ptr(issue(nil, ec(elliptic.P521()), subject("root"), func(c *x509.Certificate) {
		authority(c)
		c.SignatureAlgorithm = x509.ECDSAWithSHA256
	})), ec(elliptic.P256()), subject("leaf"), nil)))

	// Times.
	vouched := func(by party, at time.Time) request {
		return good(by).with(func(r *request) {
			delete(r.headers, prefix+"signingTime")
			r.headers[prefix+"signingScheme"] = "notary.x509.signingAuthority"
			r.headers[prefix+"authenticSigningTime"] = at
			r.critical = append(r.critical, prefix+"authenticSigningTime")
		})
	}
	expiring := func(r request, at time.Time) request {
		return r.with(func(r *request) {
			r.headers[prefix+"expiry"] = at
			r.critical = append(r.critical, prefix+"expiry")
		})
	}
	past := issue(&root, ec(elliptic.P256()), subject("leaf"), func(c *x509.Certificate) { c.NotAfter = years(-2) })
	future := issue(&root, ec(elliptic.P256()), subject("leaf"), func(c *x509.Certificate) { c.NotBefore = years(2) })
	both("signing authority", vouched(leaf, years(-1)))
	both("signing authority, certificate expired later", vouched(past, years(-3)))
	both("signing authority, certificate expired before", vouched(past, years(-1)))
	both("signing authority, certificate not valid then", vouched(future, years(1)))
	both("certificate expired", good(past))
	both("certificate not valid yet", good(future))
	both("expires", expiring(good(leaf), years(50)))
	both("expired", expiring(good(leaf), now.AddDate(0, -1, 0)))
	both("expired before it was signed", expiring(good(leaf), years(-2)))
	both("expires when it was signed", expiring(good(leaf), years(-1)))
	both("expiry not critical", good(leaf).with(func(r *request) { r.headers[prefix+"expiry"] = years(50) }))
	both("no signing time", good(leaf).with(func(r *request) { delete(r.headers, prefix+"signingTime") }))
	both("signing authority without time", vouched(leaf, now).with(func(r *request) { delete(r.headers, prefix+"authenticSigningTime") }))
	both("signing authority, time not critical", vouched(leaf, years(-1)).with(func(r *request) { r.critical = r.critical[:1] }))
	both("signing authority with the other time", vouched(leaf, years(-1)).with(func(r *request) { r.headers[prefix+"signingTime"] = years(-1) }))
	both("time of an authority without one", good(leaf).with(func(r *request) { r.headers[prefix+"authenticSigningTime"] = years(-1) }))
	both("time is a text", good(leaf).with(func(r *request) { r.headers[prefix+"signingTime"] = "yesterday" }))
	both("time is a number", good(leaf).with(func(r *request) { r.headers[prefix+"signingTime"] = 12 }))

	// Timestamps. Those that are odd are refused here in other words.
	tsa := issue(&root, ec(elliptic.P256()), subject("tsa"), stamping)
	alone := issue(nil, ec(elliptic.P256()), subject("tsa alone"), stamping)
	stamped := func(name string, of party, s stamp) {
		both(name, good(of).with(func(r *request) { r.stamp = s.token }))
	}
	edited := func(name string, by party, edit func(*stamp)) {
		s := goodStamp(by, years(-1))
		edit(&s)
		stamped(name, leaf, s)
	}
	anAuthority := func(edit func(*x509.Certificate)) party {
		return issue(&root, ec(elliptic.P256()), subject("tsa"), func(c *x509.Certificate) { stamping(c); edit(c) })
	}
	asIs := func(*stamp) {}
	edited("timestamp", tsa, asIs)
	stamped("timestamp, certificate expired later", past, goodStamp(tsa, years(-3)))
	stamped("timestamp, certificate expired before", past, goodStamp(tsa, years(-1)))
	stamped("timestamp, certificate not valid then", future, goodStamp(tsa, years(1)))
	stamped("timestamp at the end", past, goodStamp(tsa, years(-2)))
	for name, a := range map[string]accuracy{"seconds": {Seconds: 1}, "thousandths": {Millis: 1}, "millionths": {Micros: 1}} {
		s := goodStamp(tsa, years(-2))
		s.accuracy = a
		stamped("timestamp at the end, right to "+name, past, s)
		s.at = years(-2).Add(-time.Second)
		stamped("timestamp before the end, right to "+name, past, s)
	}
	baseline := goodStamp(tsa, years(-2))
	baseline.policy = oid(0, 4, 0, 2023, 1, 1)
	stamped("timestamp at the end, of the baseline policy", past, baseline)
	beginning := goodStamp(tsa, years(-10))
	beginning.accuracy.Seconds = 1
	stamped("timestamp at the beginning", past, beginning)
	edited("timestamp by RSA", issue(&root, rsaKey(2048), subject("tsa"), stamping), asIs)
	edited("timestamp by RSA, by the digest", issue(&root, rsaKey(2048), subject("tsa"), stamping), func(s *stamp) {
		s.algorithm = oid(1, 2, 840, 113549, 1, 1, 1)
	})
	edited("timestamp by P-384", issue(&root, ec(elliptic.P384()), subject("tsa"), stamping), func(s *stamp) {
		s.hash, s.imprint, s.algorithm = crypto.SHA384, hashes[crypto.SHA384], oid(1, 2, 840, 10045, 4, 3, 3)
	})
	edited("timestamp by a key of another curve", issue(&root, ec(elliptic.P224()), subject("tsa"), stamping), asIs)
	edited("timestamp by an authority alone", alone, asIs)
	lower := issue(&middle, ec(elliptic.P256()), subject("tsa"), stamping)
	edited("timestamp by an authority below another", lower, asIs)
	edited("timestamp with all certificates", lower, func(s *stamp) { s.certs = []*x509.Certificate{root.cert(), other.cert(), middle.cert(), lower.cert()} })
	edited("odd timestamp: no intermediate", lower, func(s *stamp) { s.certs = s.certs[:1] })
	edited("odd timestamp: by a stranger", issue(&other, ec(elliptic.P256()), subject("tsa"), stamping), asIs)
	edited("odd timestamp: authority had expired", anAuthority(func(c *x509.Certificate) { c.NotAfter = years(-2) }), asIs)
	edited("timestamp, authority has expired since", anAuthority(func(c *x509.Certificate) { c.NotAfter = now.AddDate(0, -1, 0) }), asIs)
	purposed := func(e pkix.Extension) party {
		return anAuthority(func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{e} })
	}
	edited("odd timestamp: purpose not critical", purposed(purposes(false, 8)), asIs)
	edited("odd timestamp: two purposes", purposed(purposes(true, 8, 3)), asIs)
	edited("odd timestamp: another purpose", purposed(purposes(true, 3)), asIs)
	edited("odd timestamp: no purpose", anAuthority(func(c *x509.Certificate) { c.ExtraExtensions = nil }), asIs)
	middleOf := func(edit func(*x509.Certificate)) party {
		by := issue(&root, ec(elliptic.P256()), subject("middle"), func(c *x509.Certificate) { authority(c); edit(c) })
		return issue(&by, ec(elliptic.P256()), subject("tsa"), stamping)
	}
	edited("odd timestamp: intermediate of another purpose", middleOf(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }), asIs)
	edited("timestamp, intermediate of the same purpose", middleOf(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping} }), asIs)
	edited("odd timestamp: intermediate does not sign", middleOf(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }), asIs)
	edited("odd timestamp: intermediate had expired", middleOf(func(c *x509.Certificate) { c.NotAfter = years(-2) }), asIs)
	edited("odd timestamp: unknown critical extension", anAuthority(func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oid(1, 2, 3), Critical: true, Value: []byte{5, 0}})
	}), asIs)
	edited("timestamp, key does more", anAuthority(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyEncipherment }), asIs)
	edited("timestamp, key does not sign", anAuthority(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageContentCommitment }), asIs)
	edited("timestamp, no key usage", anAuthority(func(c *x509.Certificate) { c.KeyUsage = 0 }), asIs)
	edited("timestamp, key usage not critical", anAuthority(func(c *x509.Certificate) {
		c.KeyUsage = 0
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oid(2, 5, 29, 15), Value: []byte{3, 2, 7, 0x80}})
	}), asIs)
	edited("timestamp, authority with OCSP", anAuthority(func(c *x509.Certificate) { c.OCSPServer = []string{"http://127.0.0.1:1/"} }), asIs)
	edited("timestamp, certificate by another digest", tsa, func(s *stamp) { s.certID = certIDOf(crypto.SHA512, false) })
	edited("timestamp, certificate by its number", tsa, func(s *stamp) { s.certID = certIDOf(crypto.SHA256, true) })
	edited("timestamp, certificate by an unknown digest", tsa, func(s *stamp) { s.certID = certIDOf(crypto.SHA1, false) })
	edited("timestamp, another certificate", tsa, func(s *stamp) {
		s.certID = func(*x509.Certificate) any { return certIDOf(crypto.SHA256, false)(leaf.cert()) }
	})
	edited("timestamp, another certificate by its number", tsa, func(s *stamp) {
		s.certID = func(*x509.Certificate) any { return certIDOf(crypto.SHA256, true)(leaf.cert()) }
	})
	edited("timestamp, no certificate named", tsa, func(s *stamp) { s.certID = nil })
	edited("timestamp, no certificate in the list", tsa, func(s *stamp) {
		s.certID = func(*x509.Certificate) any { return []any{[]any{}} }
	})
	edited("timestamp without certificates", tsa, func(s *stamp) { s.certs = nil })
	edited("timestamp without signers", tsa, func(s *stamp) { s.signers = 0 })
	edited("odd timestamp: signers of which the first is odd", tsa, func(s *stamp) { s.signers = 2 })
	edited("odd timestamp: signature", tsa, func(s *stamp) { s.spoil = func(b []byte) []byte { b[len(b)-1] ^= 1; return b } })
	edited("odd timestamp: nothing is signed", tsa, func(s *stamp) { s.noAttrs = true })
	edited("timestamp, another digest", tsa, func(s *stamp) { s.digest = make([]byte, 32) })
	edited("timestamp, unknown algorithm", tsa, func(s *stamp) { s.algorithm = oid(1, 2, 3) })
	edited("timestamp, signed then", tsa, func(s *stamp) { s.signed = years(-1) })
	edited("odd timestamp: signed after the authority had expired", anAuthority(func(c *x509.Certificate) { c.NotAfter = now.AddDate(0, -1, 0) }), func(s *stamp) { s.signed = now })
	edited("timestamp, another version of signed data", tsa, func(s *stamp) { s.data = 1 })
	edited("timestamp, another version of the content", tsa, func(s *stamp) { s.version = 2 })
	edited("timestamp, another content", tsa, func(s *stamp) { s.content = oid(1, 2, 840, 113549, 1, 7, 1) })
	edited("timestamp, unknown hash", tsa, func(s *stamp) { s.imprint = hashes[crypto.SHA1] })
	edited("timestamp of another signature", tsa, func(s *stamp) { s.imprint = hashes[crypto.SHA512] })
	for name, token := range map[string][]byte{
		"odd timestamp: text": []byte("text"), "odd timestamp: half": goodStamp(tsa, now).token(nil)[:99], "odd timestamp: list": {0x30, 0},
		"timestamp that is data": must(asn1.Marshal([]any{oid(1, 2, 840, 113549, 1, 7, 1), tagged0([]byte{4, 0})})),
		"empty timestamp":        {},
	} {
		both(name, good(leaf).with(func(r *request) { r.stamp = func([]byte) []byte { return token } }))
	}
	both("timestamp, and an authority", vouched(leaf, years(-1)).with(func(r *request) { r.stamp = goodStamp(tsa, years(-1)).token }))

	// Names.
	both("somebody else", named(pkix.Name{Country: []string{"US"}, Province: []string{"WA"}, Organization: []string{"Other"}}))
	both("no state", named(pkix.Name{Country: []string{"US"}, Organization: []string{"Example"}, CommonName: "leaf"}))
	both("two organizations", named(pkix.Name{Country: []string{"US"}, Province: []string{"WA"}, Organization: []string{"Example", "Other"}}))
	both("special characters", named(pkix.Name{
		Country: []string{"US"}, Province: []string{"WA"}, Organization: []string{"Example"},
		CommonName: ` #a,b+c"d\e<f>g;h=i é `, OrganizationalUnit: []string{"#1"}, Locality: []string{"x "},
		StreetAddress: []string{"s"}, PostalCode: []string{"p"}, SerialNumber: "n",
	}))
	both("unknown attribute", named(pkix.Name{
		Country: []string{"US"}, Province: []string{"WA"}, Organization: []string{"Example"},
		ExtraNames: []pkix.AttributeTypeAndValue{
			{Type: asn1.ObjectIdentifier{2, 5, 4, 6}, Value: "US"}, {Type: asn1.ObjectIdentifier{2, 5, 4, 8}, Value: "WA"},
			{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: "Example"},
			{Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}, Value: "example"},
		},
	}))

	// What is signed.
	both("bad signature", good(leaf).with(func(r *request) {
		r.spoil = func(s []byte) []byte { s[len(s)-1] ^= 1; return s }
	}))
	both("empty signature", good(leaf).with(func(r *request) { r.spoil = func([]byte) []byte { return nil } }))
	both("signature of another form", good(leaf).with(func(r *request) {
		r.spoil = func(s []byte) []byte {
			half := len(s) / 2
			return must(asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(s[:half]), new(big.Int).SetBytes(s[half:])}))
		}
	}))
	both("by another key", good(party{ec(elliptic.P256()), leaf.chain}))
	of := func(edit func(*ocispec.Descriptor)) request {
		return good(leaf).with(func(r *request) {
			signed := target
			edit(&signed)
			r.payload = payload(signed)
		})
	}
	both("another digest", of(func(d *ocispec.Descriptor) { d.Digest = digest.FromString("other") }))
	both("another size", of(func(d *ocispec.Descriptor) { d.Size++ }))
	both("another type", of(func(d *ocispec.Descriptor) { d.MediaType = ocispec.MediaTypeImageIndex }))
	both("annotations", of(func(d *ocispec.Descriptor) { d.Annotations = map[string]string{"a": "b"} }))
	both("no artifact", good(leaf).with(func(r *request) { r.payload = []byte("{}") }))
	both("empty payload", good(leaf).with(func(r *request) { r.payload = []byte{} }))
	both("payload is no JSON", good(leaf).with(func(r *request) { r.payload = []byte("text") }))
	both("payload is of another type", good(leaf).with(func(r *request) { r.headers["cty"] = "application/json" }))
	both("payload has no type", good(leaf).with(func(r *request) { delete(r.headers, "cty") }))

	// Headers.
	header := func(key string, value any, critical bool) request {
		return good(leaf).with(func(r *request) {
			r.headers[key] = value
			if critical {
				r.critical = append(r.critical, key)
			}
		})
	}
	both("unknown header", header("com.example.a", "b", false))
	both("unknown critical header", header("com.example.a", "b", true))
	both("critical header that is not there", good(leaf).with(func(r *request) { r.critical = append(r.critical, "com.example.a") }))
	both("plugin", header(prefix+"verificationPlugin", "a", true))
	both("plugin that is not critical", header(prefix+"verificationPlugin", "a", false))
	both("plugin without a name", header(prefix+"verificationPlugin", " ", true))
	both("plugin that is a number", header(prefix+"verificationPlugin", 1, true))
	both("no critical headers", good(leaf).with(func(r *request) { r.critical = nil }))
	both("empty critical headers", good(leaf).with(func(r *request) { r.critical = []any{} }))
	both("scheme not critical", header("com.example.a", "b", true).with(func(r *request) { r.critical = r.critical[1:] }))
	both("unknown scheme", header(prefix+"signingScheme", "notary.other", false))
	both("no scheme", good(leaf).with(func(r *request) { delete(r.headers, prefix+"signingScheme") }))

	// Chains.
	chain := func(certs ...*x509.Certificate) request { return good(party{leaf.key, certs}) }
	deep := issue(&middle, ec(elliptic.P256()), subject("leaf"), nil)
	both("no certificates", chain())
	both("no root", chain(leaf.cert()))
	both("another root", chain(leaf.cert(), other.cert()))
	both("root twice", chain(leaf.cert(), root.cert(), root.cert()))
	both("wrong order", good(party{deep.key, []*x509.Certificate{deep.cert(), root.cert(), middle.cert()}}))
	both("no intermediate", good(party{deep.key, []*x509.Certificate{deep.cert(), root.cert()}}))
	both("intermediate is the last", good(party{deep.key, []*x509.Certificate{deep.cert(), middle.cert()}}))
	both("alone, and a root", good(party{deep.key, append(issue(nil, deep.key, subject("alone"), nil).chain, root.cert())}))
	both("leaf is an authority", sign(func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }))
	both("leaf is no authority and says so", sign(func(c *x509.Certificate) { c.BasicConstraintsValid = true }))
	both("no key usage", sign(func(c *x509.Certificate) { c.KeyUsage = 0 }))
	both("key usage not critical", sign(func(c *x509.Certificate) {
		c.KeyUsage = 0
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Value: []byte{3, 2, 7, 0x80}}}
	}))
	both("key does not sign", sign(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageContentCommitment }))
	both("key does more", sign(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign }))
	both("key commits, too", sign(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageContentCommitment }))
	for name, purposes := range map[string][]x509.ExtKeyUsage{
		"no purpose": nil, "any purpose": {x509.ExtKeyUsageAny}, "server": {x509.ExtKeyUsageCodeSigning, x509.ExtKeyUsageServerAuth},
		"client": {x509.ExtKeyUsageClientAuth}, "email": {x509.ExtKeyUsageEmailProtection},
		"timestamps": {x509.ExtKeyUsageTimeStamping}, "OCSP": {x509.ExtKeyUsageOCSPSigning},
	} {
		both("purpose: "+name, sign(func(c *x509.Certificate) { c.ExtKeyUsage = purposes }))
	}
	below := func(edit func(*x509.Certificate)) request {
		by := issue(&root, ec(elliptic.P256()), subject("middle"), edit)
		return good(issue(&by, ec(elliptic.P256()), subject("leaf"), nil))
	}
	both("intermediate is no authority", below(nil))
	both("intermediate does not sign", below(func(c *x509.Certificate) { authority(c); c.KeyUsage = x509.KeyUsageCRLSign }))
	both("intermediate without key usage", below(func(c *x509.Certificate) { authority(c); c.KeyUsage = 0 }))
	flat := issue(nil, ec(elliptic.P256()), subject("root"), func(c *x509.Certificate) { authority(c); c.MaxPathLenZero = true })
	both("root allows no intermediate", good(issue(ptr(issue(&flat, ec(elliptic.P256()), subject("middle"), authority)), ec(elliptic.P256()), subject("leaf"), nil)))
	both("root allows a leaf", good(issue(&flat, ec(elliptic.P256()), subject("leaf"), nil)))
	both("leaf with OCSP", sign(func(c *x509.Certificate) { c.OCSPServer = []string{"http://127.0.0.1:1/"} }))
	both("leaf with a list", sign(func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://127.0.0.1:1/"} }))
	both("intermediate with OCSP", below(func(c *x509.Certificate) { authority(c); c.OCSPServer = []string{"http://127.0.0.1:1/"} }))

	// Envelopes.
	add("no envelope, jws", jws, []byte("{"))
	add("no envelope, cose", cose, []byte{0xd2, 0x84})
	add("list, jws", jws, []byte("[]"))
	add("empty, jws", jws, []byte("{}"))
	add("empty, cose", cose, []byte{})
	add("other form", "application/json", []byte("{}"))
	add("not tagged, cose", cose, good(leaf).cose()[1:])
	add("jws as cose", cose, good(leaf).jws())
	add("cose as jws", jws, good(leaf).cose())

	trusted := []string{pemOf(root.cert())}
	identity := `"x509.subject: C=US, ST=WA, O=Example"`
	policies := []policy{
		{"strict", statement(`{"level":"strict"}`, `"ca:a","signingAuthority:b"`, `"*"`), trusted},
		{"strict, all roots", statement(`{"level":"strict"}`, `"ca:a"`, `"*"`), nil},
		{"strict, identity", statement(`{"level":"strict"}`, `"ca:a","signingAuthority:b"`, identity), trusted},
		{"strict, other root", statement(`{"level":"strict"}`, `"ca:a","signingAuthority:b"`, `"*"`), []string{pemOf(other.cert())}},
		{"strict, leaf", statement(`{"level":"strict"}`, `"ca:a"`, `"*"`), []string{pemOf(leaf.cert())}},
		{"strict, garbage", statement(`{"level":"strict"}`, `"ca:a"`, `"*"`), []string{trusted[0], "garbage"}},
		{"strict, authorities only", statement(`{"level":"strict"}`, `"signingAuthority:b"`, `"*"`), trusted},
		{"strict, no known identity", statement(`{"level":"strict"}`, `"ca:a"`, `"x509.other: a"`), trusted},
		{"strict, revocation skipped", statement(`{"level":"strict","override":{"revocation":"skip"}}`, `"ca:a"`, `"*"`), trusted},
		{"permissive", statement(`{"level":"permissive"}`, `"ca:a","signingAuthority:b"`, identity), trusted},
		{"permissive, expiry enforced", statement(`{"level":"permissive","override":{"expiry":"enforce"}}`, `"ca:a"`, `"*"`), trusted},
		{"audit", statement(`{"level":"audit"}`, `"ca:a","signingAuthority:b"`, identity), trusted},
		{"strict, timestamps", statement(`{"level":"strict"}`, `"ca:a","tsa:c"`, `"*"`), trusted},
		{"strict, timestamps after expiry", statement(`{"level":"strict","verifyTimestamp":"afterCertExpiry"}`, `"ca:a","tsa:c"`, `"*"`), trusted},
		{"strict, garbage for timestamps", statement(`{"level":"strict","override":{"authenticity":"log"}}`, `"ca:a","tsa:c"`, `"*"`), []string{trusted[0], "garbage"}},
		{"permissive, timestamps", statement(`{"level":"permissive"}`, `"tsa:c","ca:a"`, `"*"`), trusted},
		{"skip", statement(`{"level":"skip"}`, `"ca:a"`, `"*"`), trusted},
	}
	for _, text := range trusted {
		policies[1].Certificates = append(policies[1].Certificates, text)
	}
	policies[1].Certificates = append(policies[1].Certificates, pemOf(other.cert()), string(pssRoot.cert().Raw))
	policies[1].Certificates[2] = pemOf(pssRoot.cert())
	for i := range policies {
		if strings.HasPrefix(policies[i].Name, "strict, timestamps") {
			policies[i].Certificates = append([]string{}, trusted[0], pemOf(alone.cert()))
		}
	}

	// Good, with nothing to tell.
	texts := []string{""}
	place := func(text string) int {
		for i, known := range texts {
			if known == text {
				return i
			}
		}
		texts = append(texts, text)
		return len(texts) - 1
	}
	reference := repository + "@" + target.Digest.String()
	for _, p := range policies {
		var doc trustpolicy.Document
		must(0, json.Unmarshal([]byte(p.Document), &doc))
		clean(&doc)
		v := must(verifier.New(&doc, store(p.Certificates), nil))
		for i := range envelopes {
			e := &envelopes[i]
			opts := notation.VerifierVerifyOptions{ArtifactReference: reference, SignatureMediaType: e.MediaType}
			outcome, err := v.Verify(context.Background(), target, e.Content, opts)
			said := ""
			if err != nil {
				said = "refused: " + err.Error()
			} else {
				for _, result := range outcome.VerificationResults {
					if result.Error != nil {
						said += fmt.Sprintf("%s: %s\n", result.Type, result.Error)
					}
				}
			}
			e.Verdicts = append(e.Verdicts, place(said))
		}
	}
	for i := range envelopes {
		if e := &envelopes[i]; e.MediaType == cose || !utf8.Valid(e.Content) {
			e.Bytes = e.Content
		} else {
			e.Text = string(e.Content)
		}
	}

	var documents []document
	for _, line := range bytes.Split(must(os.ReadFile("policies.seeds")), []byte("\n")) {
		text := string(line)
		if text == "" || strings.HasPrefix(text, "//") {
			continue
		}
		seed, repo, _ := strings.Cut(text, "\t")
		row := document{Document: seed}
		var doc trustpolicy.Document
		if err := json.Unmarshal([]byte(seed), &doc); err != nil {
			row.Error = "parse: " + err.Error()
		} else if clean(&doc); doc.Validate() != nil {
			row.Error = doc.Validate().Error()
		} else if repo != "" {
			row.Reference = repo + "@" + target.Digest.String()
			if found, err := doc.GetApplicableTrustPolicy(row.Reference); err != nil {
				row.Error = err.Error()
			} else {
				row.Statement = found.Name
			}
		}
		documents = append(documents, row)
	}

	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	must(0, out.Encode(map[string]any{
		"now": now, "target": target, "envelopes": envelopes, "policies": policies, "texts": texts, "documents": documents,
	}))
}

func ptr(p party) *party { return &p }
