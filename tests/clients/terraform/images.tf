# Snapshots and images, of the instance and the volume in main.tf.
variable "friend" { type = string }

resource "aws_ebs_snapshot" "data" {
  volume_id   = aws_ebs_volume.data.id
  description = "of the data"
  tags        = { Name = "kept" }
}

resource "aws_ebs_snapshot_copy" "copy" {
  source_snapshot_id = aws_ebs_snapshot.data.id
  source_region      = data.aws_region.here.name
  description        = "a copy"
  encrypted          = true
  kms_key_id         = aws_ebs_volume.encrypted.kms_key_id
  tags               = { Name = "kept" }
}

data "aws_ebs_snapshot" "copy" {
  owners       = ["self"]
  snapshot_ids = [aws_ebs_snapshot_copy.copy.id]
}

resource "aws_snapshot_create_volume_permission" "friend" {
  snapshot_id = aws_ebs_snapshot.data.id
  account_id  = var.friend
}

resource "aws_ami" "registered" {
  name                = "registered"
  description         = "of snapshots"
  architecture        = "x86_64"
  virtualization_type = "hvm"
  root_device_name    = "/dev/xvda"
  boot_mode           = "uefi"
  ena_support         = true
  imds_support        = "v2.0"
  ebs_block_device {
    device_name = "/dev/xvda"
    snapshot_id = aws_ebs_snapshot.data.id
    volume_size = 2
    volume_type = "gp3"
  }
  ebs_block_device {
    device_name = "/dev/sdf"
    volume_size = 1
  }
  tags = { Name = "kept" }
}

resource "aws_ami_copy" "copy" {
  name              = "copied"
  source_ami_id     = aws_ami.registered.id
  source_ami_region = data.aws_region.here.name
  tags              = { Name = "kept" }
}

resource "aws_ami_from_instance" "guest" {
  name               = "from-instance"
  source_instance_id = aws_instance.guest.id
  tags               = { Name = "kept" }
  depends_on         = [aws_volume_attachment.data]
}

resource "aws_ami_launch_permission" "friend" {
  image_id   = aws_ami_copy.copy.id
  account_id = var.friend
}

output "disks" { value = sort(aws_ami_from_instance.guest.ebs_block_device[*].device_name) }
