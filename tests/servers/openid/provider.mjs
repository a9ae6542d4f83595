// An OpenID provider for tests: takes every name and password; who is named admin… is in the group admins, who is named
// lab… in lab. With a place as the last argument its addresses are below that, as Keycloak has them.
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const port = Number(process.argv[2]);
const [redirect, goodbye] = process.argv.slice(3);
const place = process.argv[6] ?? '';
const groups = (id) => [
  ...(id.startsWith('admin') ? ['admins'] : []),
  'staff',
  ...(id.startsWith('lab') ? ['lab'] : []),
  ...(id.startsWith('lab-admin') ? ['lab-admins'] : []),
];

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: 'nbhub',
      client_secret: 'secret of nbhub',
      redirect_uris: [redirect],
      post_logout_redirect_uris: [goodbye],
      grant_types: ['authorization_code', 'refresh_token'],
      token_endpoint_auth_method: process.argv[5] ?? 'client_secret_basic',
    },
  ],
  scopes: ['openid', 'offline_access', 'profile', 'email', 'groups'],
  claims: { openid: place ? ['sub', 'preferred_username'] : ['sub'], profile: ['preferred_username', 'name'], email: ['email'], groups: ['groups'] },
  features: { devInteractions: { enabled: true }, rpInitiatedLogout: { enabled: true } },
  ...(place && { routes: { authorization: `${place}/auth`, token: `${place}/token`, userinfo: `${place}/userinfo` } }),
  pkce: { methods: ['S256'], required: () => true },
  issueRefreshToken: async () => true,
  findAccount: async (_ctx, id) => ({
    accountId: id,
    claims: async () => ({
      sub: id,
      preferred_username: id,
      name: `Name of ${id}`,
      email: `${id}@example.org`,
      groups: groups(id),
    }),
  }),
});

createServer(provider.callback()).listen(port, '127.0.0.1', () => console.log('listening'));
