/** What the CRM says in its events: Portuguese, money as floats (`1000.00`), and numbers that no double can hold. */
import { float, type JsonObject } from "../domain/Json.ts"

export interface Opportunity {
  readonly number: number
  readonly contact: string
  readonly company: string
  readonly title: string
  readonly origin: string
  /** In cents: money is never a fraction while one reckons with it. */
  readonly cents: number
  readonly cpf: string
}

/** `1000.00`, and not `1000`: the sender's float has to arrive as one. */
const money = (cents: number) => float(cents / 100)

export const lead = ({ company, contact, number, origin }: Opportunity, status: string): JsonObject => ({
  id: number,
  nome: contact,
  empresa: company,
  origem: origin,
  status,
  pontuacao: number % 100
})

export const deal = (opportunity: Opportunity, status: string, more: JsonObject = {}): JsonObject => ({
  id: opportunity.number,
  title: `${opportunity.title} – ${opportunity.company}`,
  value: money(opportunity.cents),
  status,
  contato: opportunity.contact,
  ...more
})

/** The access key of a Brazilian invoice has 44 digits. */
export const invoice = ({ cents, number }: Opportunity): JsonObject => ({
  nota_fiscal: {
    chave: 35250212345678000195550010000000001000000000n + BigInt(number) * 1_000_003n,
    parcelas: [money(Math.ceil(cents / 2)), money(Math.floor(cents / 2))]
  }
})

export const proposal = (opportunity: Opportunity, status: string, more: JsonObject = {}): JsonObject => ({
  id: opportunity.number + 5_000,
  negocio_id: opportunity.number,
  status,
  value: money(opportunity.cents),
  desconto: money(opportunity.cents % 1_500),
  observacao: `Válida até sexta-feira, às 18h. Condição: “à vista” ou 2× sem juros, ${opportunity.contact}.`,
  ...more
})

/** Whoever signs gives the number of a personal document, which no receiver may ever see. */
export const signature = ({ contact }: Opportunity, cpf: string): JsonObject => ({
  assinado_por: { nome: contact, cpf, aceite: true }
})

export const integration = (system: string, status: string, more: JsonObject = {}): JsonObject => ({
  sistema: system,
  status,
  mensagem: status === "erro" ? "Conexão recusada: credencial expirada" : "Sincronização concluída",
  ...more
})
