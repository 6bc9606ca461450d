// stripe-sync-engine as its README sets it up, behind node's own http server: each webhook is verified and stored before
// it is answered. Takes the database, the secret and the port from the environment; says "listening" once it is.
import http from 'node:http'
import { createRequire } from 'node:module'

// As CommonJS: the ES module of this version cannot find its migrations (it uses __dirname).
const { StripeSync, runMigrations } = createRequire(import.meta.url)('@supabase/stripe-sync-engine')
const { DATABASE_URL, STRIPE_WEBHOOK_SECRET, PORT, POOL } = process.env

// It would say nothing of a failure without somebody to say it to.
const logger = { info() {}, error: (...what) => { console.error(...what); process.exit(1) } }
await runMigrations({ databaseUrl: DATABASE_URL, schema: 'stripe', logger })

const sync = new StripeSync({
  poolConfig: { connectionString: DATABASE_URL, max: Number(POOL) },
  stripeSecretKey: 'sk_test_not_used', // nothing here asks Stripe for anything
  stripeWebhookSecret: STRIPE_WEBHOOK_SECRET,
  backfillRelatedEntities: false,
  autoExpandLists: false,
})

function answer(response, status, value) {
  const body = JSON.stringify(value)
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }).end(body)
}

const server = http.createServer((request, response) => {
  const parts = []
  request.on('data', (part) => parts.push(part))
  request.on('end', async () => {
    try {
      await sync.processWebhook(Buffer.concat(parts), request.headers['stripe-signature'])
      answer(response, 200, { received: true })
    } catch (error) {
      console.error(error)
      answer(response, 400, { error: String(error.message) })
    }
  })
})

server.listen(Number(PORT), '127.0.0.1', () => console.log('listening'))
