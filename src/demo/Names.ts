/** Who appears in the story. Accents, an apostrophe and an ampersand on purpose: they have to survive the way. */

export const people = [
  "Antônia Gonçalves",
  "Bento Araújo",
  "Cecília D'Ávila",
  "Débora Guimarães",
  "Érico Magalhães",
  "Flávia Assunção",
  "Gregório Simões",
  "Helena Conceição",
  "Íris Brandão",
  "João Estêvão",
  "Lúcia Falcão",
  "Mário Sant'Anna",
  "Natália Peçanha",
  "Otávio Leitão",
  "Raíssa Nóbrega",
  "Sebastião Corrêa",
  "Tomás Antunes",
  "Verônica Paixão"
] as const

export const companies = [
  "Açaí do Norte Ltda.",
  "Café São Tomé",
  "Construtora Água Branca",
  "Distribuidora Três Irmãos",
  "Gráfica Pé-de-Moleque",
  "Irmãos Muñoz & Cia.",
  "Laticínios Conceição",
  "Móveis Jacarandá",
  "Óptica Visão Clara",
  "Padaria Pão de Açúcar Queimado",
  "Transportes Ribeirão",
  "Vinícola Serra Gaúcha"
] as const

export const titles = [
  "Automação de marketing",
  "Implantação do CRM",
  "Integração com a emissão de notas",
  "Licenças anuais",
  "Migração de dados",
  "Renovação do contrato",
  "Treinamento da equipe"
] as const

export const origins = ["Indicação", "Site", "Feira de negócios", "LinkedIn", "Telefone"] as const

export const lossReasons = ["Preço acima do orçamento", "Decisão adiada", "Concorrência", "Sem resposta"] as const

export const systems = ["ERP Financeiro", "E-mail transacional", "Telefonia", "Planilha de comissões"] as const
