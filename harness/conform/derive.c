#include "harness/conform/derive.h"

#include "harness/load/sasl.h"
#include "harness/wire/base64.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>

enum { MD5_BYTES = 16 };

static void repeat(uint32_t times, struct span text, struct buf *out)
{
	for (uint32_t i = 0; i < times && buf_bytes(out) <= CASE_TEXT_BYTES_MAX; i++)
		buf_add(out, text);
}

static void md5(struct span text, struct buf *out)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (EVP_Digest(text.n > 0 ? text.p : "", text.n, digest, &n, EVP_md5(), NULL) != 1)
		abort();
	assert(n == MD5_BYTES);
	for (unsigned i = 0; i < n; i++)
		buf_addf(out, "%02x", digest[i]);
}

static int scram(const struct case_step *let, const struct span *operands, struct buf *out,
		 struct err *reterr)
{
	struct sasl_scram scram = { .hash = let->which,
				    .password = operands[0],
				    .auth_message = operands[3] };
	unsigned char proof[SASL_HASH_BYTES_MAX], signature[SASL_HASH_BYTES_MAX];
	struct buf salt = { 0 };
	uint64_t count = 0;
	int rc = 0;

	if (!base64_decode(operands[1], &salt) || buf_bytes(&salt) == 0)
		rc = err_set(reterr, -EPROTO, "the salt is not base64, or empty");
	else if (!span_to_u64(operands[2], &count) || count == 0 || count > SASL_ITERATIONS_MAX)
		rc = err_set(reterr, -EPROTO, "the iteration count is no number from 1 to %d",
			     SASL_ITERATIONS_MAX);
	if (rc == 0) {
		scram.salt = buf_span(&salt);
		scram.iterations = (uint32_t)count;
		size_t n = sasl_scram_prove(&scram, proof, signature);
		const unsigned char *wanted = let->let == CASE_LET_SCRAM_PROOF ? proof : signature;
		base64_encode((struct span){ (const char *)wanted, n }, out);
		OPENSSL_cleanse(proof, sizeof(proof));
	}
	buf_free(&salt);
	return rc;
}

int derive(const struct case_step *let, const struct span operands[CASE_OPERANDS_MAX], struct buf *ret_value,
	   struct err *reterr)
{
	switch (let->let) {
	case CASE_LET_TEXT:
		buf_add(ret_value, operands[0]);
		return 0;
	case CASE_LET_REPEAT:
		repeat(let->times, operands[0], ret_value);
		return 0;
	case CASE_LET_BASE64:
		base64_encode(operands[0], ret_value);
		return 0;
	case CASE_LET_UNBASE64:
		return base64_decode(operands[0], ret_value) ? 0
							     : err_set(reterr, -EPROTO, "it is not base64");
	case CASE_LET_MD5:
		md5(operands[0], ret_value);
		return 0;
	case CASE_LET_SCRAM_PROOF:
	case CASE_LET_SCRAM_SIGNATURE:
		return scram(let, operands, ret_value, reterr);
	case CASE_LET_BINDING:
		break;
	}
	abort();
}
