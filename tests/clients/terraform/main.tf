# What a user of EC2 writes, with the resources and data sources that the first cloud has.
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "endpoint" { type = string }
variable "public_key" { type = string }
variable "image_name" { type = string }
variable "label" { type = string }
variable "port" { type = number }
variable "user_data" { type = string }

provider "aws" {
  endpoints {
    ec2 = var.endpoint
    sts = var.endpoint
  }
}

data "aws_region" "here" {}
data "aws_caller_identity" "me" {}
data "aws_availability_zones" "all" { state = "available" }
data "aws_vpc" "default" { default = true }

data "aws_subnets" "default" {
  filter {
    name   = "vpc-id"
    values = [data.aws_vpc.default.id]
  }
}

data "aws_ami" "tiny" {
  most_recent = true
  owners      = ["self"]
  filter {
    name   = "name"
    values = [var.image_name]
  }
}

data "aws_ec2_instance_type" "tiny" { instance_type = "t2.nano" }

resource "aws_key_pair" "key" {
  key_name   = "terraform"
  public_key = var.public_key
  tags       = { Name = var.label }
}

resource "aws_security_group" "inline" {
  name        = "inline"
  description = "rules in line"
  vpc_id      = data.aws_vpc.default.id
  ingress {
    description = "SSH"
    from_port   = 22
    to_port     = 22
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/0"]
  }
  ingress {
    from_port   = var.port
    to_port     = var.port
    protocol    = "tcp"
    cidr_blocks = ["10.0.0.0/8", "192.168.0.0/16"]
  }
  egress {
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }
  tags = { Name = var.label }
}

resource "aws_security_group" "apart" {
  name   = "apart"
  vpc_id = data.aws_vpc.default.id
}

resource "aws_security_group_rule" "from_inline" {
  type                     = "ingress"
  security_group_id        = aws_security_group.apart.id
  source_security_group_id = aws_security_group.inline.id
  from_port                = 0
  to_port                  = 65535
  protocol                 = "tcp"
  description              = var.label
}

resource "aws_vpc_security_group_ingress_rule" "ping" {
  security_group_id = aws_security_group.apart.id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "icmp"
  from_port         = 8
  to_port           = -1
  description       = var.label
}

resource "aws_vpc_security_group_egress_rule" "all" {
  security_group_id = aws_security_group.apart.id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}

resource "aws_placement_group" "apart" {
  name     = "apart"
  strategy = "spread"
  tags     = { Name = var.label }
}

resource "aws_placement_group" "parted" {
  name            = "parted"
  strategy        = "partition"
  partition_count = 3
}

resource "aws_instance" "guest" {
  ami                    = data.aws_ami.tiny.id
  instance_type          = data.aws_ec2_instance_type.tiny.instance_type
  key_name               = aws_key_pair.key.key_name
  subnet_id              = sort(data.aws_subnets.default.ids)[0]
  vpc_security_group_ids = [aws_security_group.inline.id, aws_security_group.apart.id]
  user_data              = var.user_data
  placement_group        = aws_placement_group.apart.name
  root_block_device {
    volume_size = 2
    encrypted   = true
  }
  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 2
  }
  tags = { Name = var.label }
}

resource "aws_ebs_volume" "data" {
  availability_zone = aws_instance.guest.availability_zone
  size              = 1
  tags              = { Name = var.label }
}

resource "aws_ebs_volume" "encrypted" {
  availability_zone = aws_instance.guest.availability_zone
  size              = 1
  encrypted         = true
  tags              = { Name = var.label }
}

resource "aws_ebs_encryption_by_default" "all" {
  enabled = false
}

resource "aws_volume_attachment" "data" {
  device_name = "/dev/sdf"
  volume_id   = aws_ebs_volume.data.id
  instance_id = aws_instance.guest.id
}

resource "aws_eip" "address" {
  domain = "vpc"
  tags   = { Name = var.label }
}

resource "aws_eip_association" "guest" {
  instance_id   = aws_instance.guest.id
  allocation_id = aws_eip.address.id
}

output "instance" { value = aws_instance.guest.id }
output "public_ip" { value = aws_eip.address.public_ip }
output "account" { value = data.aws_caller_identity.me.account_id }
output "region" { value = data.aws_region.here.name }
output "zones" { value = data.aws_availability_zones.all.names }
