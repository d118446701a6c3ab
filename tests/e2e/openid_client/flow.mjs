// A bank's program on openid-client: node flow.mjs ISSUER KEY.jwk REDIRECT_URI DETAILS
// Prints the address for the browser, reads where it came back to, prints what it learnt. Nothing of the broker is
// known here but its issuer: all else is discovered.
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline/promises'
import * as client from 'openid-client'

const [issuer, keyFile, redirectUri, details] = process.argv.slice(2)
const { client_id: clientId, kid, alg, ...jwk } = JSON.parse(await readFile(keyFile, 'utf8'))
const curve = { name: 'ECDSA', namedCurve: 'P-256' }
const privateKey = await crypto.subtle.importKey('jwk', jwk, curve, false, ['sign'])

const server = await client.discovery(
  new URL(issuer),
  clientId,
  { id_token_signed_response_alg: 'ES256' },
  client.PrivateKeyJwt({ key: privateKey, kid }),
  // The server of the tests speaks HTTP, on the loopback.
  { algorithm: 'oauth2', execute: [client.allowInsecureRequests] },
)
const DPoP = client.getDPoPHandle(server, await client.randomDPoPKeyPair('ES256', { extractable: true }))

const pkceCodeVerifier = client.randomPKCECodeVerifier()
const [expectedState, expectedNonce] = [client.randomState(), client.randomNonce()]
const address = await client.buildAuthorizationUrlWithPAR(
  server,
  {
    redirect_uri: redirectUri,
    scope: 'openid',
    authorization_details: details,
    state: expectedState,
    nonce: expectedNonce,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
  },
  { DPoP },
)
console.log(address.href)
const lines = createInterface({ input: process.stdin })
const came = new URL((await lines[Symbol.asyncIterator]().next()).value)
lines.close()

const checks = { pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: true }
const tokens = await client.authorizationCodeGrant(server, came, checks, undefined, { DPoP })
const url = new URL('/v1/token-info', issuer)
const use = (token) => client.fetchProtectedResource(server, token, url, 'GET', null, undefined, { DPoP })
const info = await (await use(tokens.access_token)).json()
const renewed = await client.refreshTokenGrant(server, tokens.refresh_token, undefined, { DPoP })
const before = await client.tokenIntrospection(server, renewed.access_token)
await client.tokenRevocation(server, tokens.refresh_token)
const after = await client.tokenIntrospection(server, renewed.access_token)
const refused = await use(renewed.access_token).then((answer) => answer.status, (error) => error.status)
console.log(
  JSON.stringify({ claims: tokens.claims(), info, before, after, refused, granted: tokens.authorization_details }),
)
