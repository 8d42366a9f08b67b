//go:build ignore

// Makes signatures without keys in both forms, with authorities and logs of its own:
//
//	go run keyless.go > keyless.json
//
// The arguments are digests of further artifacts (64 hexadecimal digits each) that get a good signature in both forms.
package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"strconv"
	"time"
)

const (
	digest     = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	subject    = "https://ci.example.com/org/app/release@refs/heads/main"
	issuer     = "https://token.ci.example.com"
	origin     = "log.example.com"
	inTotoType = "application/vnd.in-toto+json"
)

var (
	signedAt = time.Date(2025, 1, 15, 12, 0, 0, 0, time.UTC)
	always   = map[string]string{"start": "2020-01-01T00:00:00Z"}
	serial   = int64(1)
)

type object = map[string]any

// How a signature differs from a good one.
type fault struct {
	expired, noSCT, foreignSCT, foreignLog, noUsage, otherName, email bool
}

type certified struct {
	*x509.Certificate
	key *ecdsa.PrivateKey
}

type world struct {
	root, fulcio, tsaRoot, tsa certified
	ctlog, log, foreign        *ecdsa.PrivateKey
}

func try[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func b64(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

func newKey() *ecdsa.PrivateKey { return try(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

func spki(key *ecdsa.PrivateKey) []byte { return try(x509.MarshalPKIXPublicKey(key.Public())) }

func keyID(key *ecdsa.PrivateKey) []byte {
	sum := sha256.Sum256(spki(key))
	return sum[:]
}

func sign(key *ecdsa.PrivateKey, message []byte) []byte {
	sum := sha256.Sum256(message)
	return try(key.Sign(rand.Reader, sum[:], crypto.SHA256))
}

func template(name string) *x509.Certificate {
	serial++
	return &x509.Certificate{
		SerialNumber:          big.NewInt(serial),
		Subject:               pkix.Name{CommonName: name, Organization: []string{"example.com"}},
		NotBefore:             time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:              time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC),
		BasicConstraintsValid: true,
	}
}

func issue(t *x509.Certificate, above *certified) certified {
	key := newKey()
	parent, signer := t, key
	if above != nil {
		parent, signer = above.Certificate, above.key
	}
	der := try(x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer))
	return certified{try(x509.ParseCertificate(der)), key}
}

func authority(name string, above *certified, usage ...x509.ExtKeyUsage) certified {
	t := template(name)
	t.IsCA, t.KeyUsage, t.ExtKeyUsage = true, x509.KeyUsageCertSign, usage
	return issue(t, above)
}

func newWorld() *world {
	w := &world{ctlog: newKey(), log: newKey(), foreign: newKey()}
	w.root = authority("root", nil)
	w.fulcio = authority("fulcio", &w.root, x509.ExtKeyUsageCodeSigning)
	w.tsaRoot = authority("timestamps root", nil)
	t := template("timestamps")
	t.KeyUsage = x509.KeyUsageDigitalSignature
	// RFC 3161 wants the usage to be critical, which the field ExtKeyUsage is not.
	usage := try(asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}}))
	t.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}}
	w.tsa = issue(t, &w.tsaRoot)
	return w
}

func (w *world) trustedRoot() object {
	log := func(key *ecdsa.PrivateKey, url string) object {
		return object{
			"baseUrl": url, "hashAlgorithm": "SHA2_256", "logId": object{"keyId": b64(keyID(key))},
			"publicKey": object{"rawBytes": b64(spki(key)), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": always},
		}
	}
	chain := func(uri string, certificates ...certified) object {
		list := []object{}
		for _, certificate := range certificates {
			list = append(list, object{"rawBytes": b64(certificate.Raw)})
		}
		subject := object{"organization": "example.com", "commonName": uri}
		return object{"subject": subject, "uri": uri, "certChain": object{"certificates": list}, "validFor": always}
	}
	return object{
		"mediaType":              "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
		"tlogs":                  []object{log(w.log, "https://"+origin)},
		"ctlogs":                 []object{log(w.ctlog, "https://ctlog.example.com")},
		"certificateAuthorities": []object{chain("https://fulcio.example.com", w.fulcio, w.root)},
		"timestampAuthorities":   []object{chain("https://tsa.example.com", w.tsa, w.tsaRoot)},
	}
}

// The certificate of the author, with the timestamp of a log of certificates (RFC 6962) in it.
func (w *world) leaf(f fault) certified {
	key, t := newKey(), template("")
	t.Subject = pkix.Name{}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.NotBefore, t.NotAfter = signedAt.Add(-time.Minute), signedAt.Add(9*time.Minute)
	if f.expired {
		t.NotAfter = signedAt.Add(-30 * time.Second)
	}
	if !f.noUsage {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	}
	fulcio := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1}
	t.ExtraExtensions = []pkix.Extension{
		{Id: append(fulcio[:8:8], 1), Value: []byte(issuer)},
		{Id: append(fulcio[:8:8], 8), Value: try(asn1.MarshalWithParams(issuer, "utf8"))},
	}
	switch {
	case f.otherName:
		name := try(asn1.MarshalWithParams("somebody!example.com", "utf8"))
		value := try(asn1.Marshal(asn1.RawValue{Class: 2, Tag: 0, IsCompound: true, Bytes: name}))
		id := try(asn1.Marshal(append(fulcio[:8:8], 7)))
		other := asn1.RawValue{Class: 2, Tag: 0, IsCompound: true, Bytes: append(id, value...)}
		san := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: try(asn1.Marshal([]asn1.RawValue{other}))}
		t.ExtraExtensions = append(t.ExtraExtensions, san)
	case f.email:
		t.EmailAddresses = []string{"somebody@example.com"}
	default:
		t.URIs = []*url.URL{try(url.Parse(subject))}
	}
	create := func() *x509.Certificate {
		der := try(x509.CreateCertificate(rand.Reader, t, w.fulcio.Certificate, key.Public(), w.fulcio.key))
		return try(x509.ParseCertificate(der))
	}
	certificate := create()
	if !f.noSCT {
		by := w.ctlog
		if f.foreignSCT {
			by = w.foreign
		}
		value := try(asn1.Marshal(w.timestamps(certificate.RawTBSCertificate, by)))
		t.ExtraExtensions = append(t.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, Value: value})
		certificate = create()
	}
	return certified{certificate, key}
}

func (w *world) timestamps(tbs []byte, by *ecdsa.PrivateKey) []byte {
	at := binary.BigEndian.AppendUint64(nil, uint64(signedAt.UnixMilli()))
	issuer := sha256.Sum256(w.fulcio.RawSubjectPublicKeyInfo)
	length := len(tbs)
	signed := bytes.Join([][]byte{{0, 0}, at, {0, 1}, issuer[:], {byte(length >> 16), byte(length >> 8), byte(length)}, tbs, {0, 0}}, nil)
	signature := sign(by, signed)
	sized := func(data []byte) []byte {
		return append(binary.BigEndian.AppendUint16(nil, uint16(len(data))), data...)
	}
	one := bytes.Join([][]byte{{0}, keyID(w.ctlog), at, {0, 0}, {4, 3}, sized(signature)}, nil)
	return sized(sized(one))
}

// A token of the authority of timestamps (RFC 3161) over a signature.
func (w *world) timestamp(signature []byte) []byte {
	type imprint struct {
		Algorithm pkix.AlgorithmIdentifier
		Hash      []byte
	}
	type info struct {
		Version int
		Policy  asn1.ObjectIdentifier
		Imprint imprint
		Serial  *big.Int
		Time    time.Time `asn1:"generalized"`
	}
	hashing := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}}
	sum := sha256.Sum256(signature)
	content := try(asn1.Marshal(info{1, asn1.ObjectIdentifier{1, 2, 3, 4, 1}, imprint{hashing, sum[:]}, big.NewInt(7), signedAt}))
	contentType := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}

	attribute := func(id asn1.ObjectIdentifier, value any) []byte {
		type attribute struct {
			ID     asn1.ObjectIdentifier
			Values []asn1.RawValue `asn1:"set"`
		}
		return try(asn1.Marshal(attribute{id, []asn1.RawValue{{FullBytes: try(asn1.Marshal(value))}}}))
	}
	contentSum, certificateSum := sha256.Sum256(content), sha256.Sum256(w.tsa.Raw)
	type certificateID struct{ Hash []byte }
	type signingCertificate struct{ Certificates []certificateID }
	pkcs9 := func(number int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, number} }
	attributes := bytes.Join([][]byte{
		attribute(pkcs9(3), contentType),
		attribute(pkcs9(4), contentSum[:]),
		attribute(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}, signingCertificate{[]certificateID{{certificateSum[:]}}}),
	}, nil)
	set := try(asn1.Marshal(asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: attributes}))

	type issuerAndSerial struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}
	type signerInfo struct {
		Version    int
		ID         issuerAndSerial
		Digest     pkix.AlgorithmIdentifier
		Attributes asn1.RawValue
		Algorithm  pkix.AlgorithmIdentifier
		Signature  []byte
	}
	type encapsulated struct {
		Type    asn1.ObjectIdentifier
		Content []byte `asn1:"explicit,tag:0"`
	}
	type signedData struct {
		Version      int
		Digests      []pkix.AlgorithmIdentifier `asn1:"set"`
		Content      encapsulated
		Certificates asn1.RawValue
		Signers      []signerInfo `asn1:"set"`
	}
	type contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content signedData `asn1:"explicit,tag:0"`
	}
	type status struct{ Status int }
	type response struct {
		Status status
		Token  contentInfo
	}
	return try(asn1.Marshal(response{status{0}, contentInfo{
		asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2},
		signedData{
			3, []pkix.AlgorithmIdentifier{hashing}, encapsulated{contentType, content},
			asn1.RawValue{Class: 2, Tag: 0, IsCompound: true, Bytes: w.tsa.Raw},
			[]signerInfo{{
				1, issuerAndSerial{asn1.RawValue{FullBytes: w.tsa.RawIssuer}, w.tsa.SerialNumber}, hashing,
				asn1.RawValue{Class: 2, Tag: 0, IsCompound: true, Bytes: attributes},
				pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}}, sign(w.tsa.key, set),
			}},
		},
	}}))
}

// What the log promises (Rekor v1): the entry signed with its time.
func (w *world) promise(body []byte, index int64, f fault) []byte {
	entry := object{"body": b64(body), "integratedTime": signedAt.Unix(), "logID": hex.EncodeToString(keyID(w.log)), "logIndex": index}
	return sign(w.logKey(f), try(json.Marshal(entry)))
}

func (w *world) logKey(f fault) *ecdsa.PrivateKey {
	if f.foreignLog {
		return w.foreign
	}
	return w.log
}

// The proof that an entry is the second of two.
func (w *world) proof(body []byte, f fault, v2 bool) object {
	leaf := func(data []byte) []byte {
		sum := sha256.Sum256(append([]byte{0}, data...))
		return sum[:]
	}
	first := leaf([]byte("the first entry"))
	root := sha256.Sum256(bytes.Join([][]byte{{1}, first, leaf(body)}, nil))
	name := origin
	if !v2 {
		// The first version adds the number of its tree; verifiers tell them apart by that.
		name += " - 1193050959916656506"
	}
	text := fmt.Sprintf("%s\n2\n%s\n", name, b64(root[:]))
	signature := append(keyID(w.log)[:4:4], sign(w.logKey(f), []byte(text))...)
	return object{
		"logIndex": "1", "treeSize": "2", "rootHash": b64(root[:]), "hashes": []string{b64(first)},
		"checkpoint": object{"envelope": fmt.Sprintf("%s\n— %s %s\n", text, origin, b64(signature))},
	}
}

func pemOf(certificate []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
}

func hashed(data []byte) object {
	sum := sha256.Sum256(data)
	return object{"algorithm": "sha256", "value": hex.EncodeToString(sum[:])}
}

// A bundle about the manifest with this digest. With v2 it is as with the second version of the log: the time is that of the authority
// of timestamps.
func (w *world) bundle(digest string, f fault, v2 bool) object {
	leaf := w.leaf(f)
	payload := try(json.Marshal(object{
		"_type":         "https://in-toto.io/Statement/v1",
		"subject":       []object{{"digest": object{"sha256": digest}}},
		"predicateType": "https://sigstore.dev/cosign/sign/v1", "predicate": object{},
	}))
	encoded := fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(inTotoType), inTotoType, len(payload), payload)
	signature := sign(leaf.key, encoded)
	envelope := object{"payload": b64(payload), "payloadType": inTotoType, "signatures": []object{{"sig": b64(signature)}}}
	material := object{"certificate": object{"rawBytes": b64(leaf.Raw)}}
	entry := object{"logIndex": "1", "logId": object{"keyId": b64(keyID(w.log))}}
	var body []byte
	if v2 {
		sum := sha256.Sum256(encoded)
		verifier := object{"keyDetails": "PKIX_ECDSA_P256_SHA_256", "x509Certificate": object{"rawBytes": b64(leaf.Raw)}}
		body = try(json.Marshal(object{"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": object{"hashedRekordV002": object{
			"data":      object{"algorithm": "SHA2_256", "digest": b64(sum[:])},
			"signature": object{"content": b64(signature), "verifier": verifier},
		}}}))
		entry["kindVersion"] = object{"kind": "hashedrekord", "version": "0.0.2"}
		material["timestampVerificationData"] = object{"rfc3161Timestamps": []object{{"signedTimestamp": b64(w.timestamp(signature))}}}
	} else {
		body = try(json.Marshal(object{"apiVersion": "0.0.1", "kind": "dsse", "spec": object{
			"envelopeHash": hashed(try(json.Marshal(envelope))), "payloadHash": hashed(payload),
			"signatures": []object{{"signature": b64(signature), "verifier": b64(pemOf(leaf.Raw))}},
		}}))
		entry["kindVersion"] = object{"kind": "dsse", "version": "0.0.1"}
		entry["integratedTime"] = strconv.FormatInt(signedAt.Unix(), 10)
		entry["inclusionPromise"] = object{"signedEntryTimestamp": b64(w.promise(body, 1, f))}
	}
	entry["canonicalizedBody"], entry["inclusionProof"] = b64(body), w.proof(body, f, v2)
	material["tlogEntries"] = []object{entry}
	return object{"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "verificationMaterial": material, "dsseEnvelope": envelope}
}

// A layer of the tag for signatures, as cosign made it until version 3.
func (w *world) layer(digest string, f fault) object {
	leaf := w.leaf(f)
	payload := try(json.Marshal(object{"critical": object{
		"identity": object{"docker-reference": "registry.example.com/org/app"},
		"image":    object{"docker-manifest-digest": "sha256:" + digest}, "type": "cosign container image signature",
	}, "optional": nil}))
	signature := sign(leaf.key, payload)
	body := try(json.Marshal(object{"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": object{
		"data":      object{"hash": hashed(payload)},
		"signature": object{"content": b64(signature), "publicKey": object{"content": b64(pemOf(leaf.Raw))}},
	}}))
	log := object{
		"SignedEntryTimestamp": b64(w.promise(body, 1, f)),
		"Payload":              object{"body": b64(body), "integratedTime": signedAt.Unix(), "logIndex": 1, "logID": hex.EncodeToString(keyID(w.log))},
	}
	return object{"payload": string(payload), "annotations": map[string]string{
		"dev.cosignproject.cosign/signature": b64(signature),
		"dev.sigstore.cosign/certificate":    string(pemOf(leaf.Raw)),
		"dev.sigstore.cosign/chain":          string(append(pemOf(w.fulcio.Raw), pemOf(w.root.Raw)...)),
		"dev.sigstore.cosign/bundle":         string(try(json.Marshal(log))),
	}}
}

func main() {
	w := newWorld()
	bundles, layers := object{"log 2": w.bundle(digest, fault{}, true)}, object{}
	for name, f := range map[string]fault{
		"good": {}, "another": {}, "email": {email: true}, "other name": {otherName: true}, "expired": {expired: true},
		"no timestamp of a log of certificates": {noSCT: true}, "timestamp of a foreign log of certificates": {foreignSCT: true},
		"foreign log": {foreignLog: true}, "no usage": {noUsage: true},
	} {
		bundles[name], layers[name] = w.bundle(digest, f, false), w.layer(digest, f)
	}
	for _, digest := range os.Args[1:] {
		bundles[digest], layers[digest] = w.bundle(digest, fault{}, false), w.layer(digest, fault{})
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(object{
		"trustedRoot": w.trustedRoot(), "foreignTrustedRoot": newWorld().trustedRoot(), "bundles": bundles, "layers": layers,
	}); err != nil {
		panic(err)
	}
}
